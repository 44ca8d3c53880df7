"""What the pages share: the only importer of streamlit and plotly besides them."""
