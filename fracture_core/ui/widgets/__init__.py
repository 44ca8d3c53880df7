"""Parts of pages that several pages share, each component with its JavaScript beside it."""
