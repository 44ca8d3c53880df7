"""Images with what was found drawn in, away from any page: boxes, masks, heat maps and sheets."""
