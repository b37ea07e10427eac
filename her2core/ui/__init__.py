"""What several pages share: who is signed in, the overlay, tables, banners. The only package that knows Streamlit."""
