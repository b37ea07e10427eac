"""What several pages share; the only package that imports streamlit."""
