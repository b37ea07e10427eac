"""PDF files on the page: their pages as pictures, since a browser's own viewer may be missing or switched off."""

from __future__ import annotations

import io
import threading

import pypdfium2
import streamlit as st

__all__ = ["pdf_pages", "show_pdf"]

_PDFIUM = threading.Lock()  # PDFium is not safe for several threads, and each session is one
_SCALE = 1.6  # of 72 dots an inch


def pdf_pages(pdf: bytes) -> tuple[bytes, ...]:
    """Each page of a PDF as PNG bytes, with signature stamps."""
    with _PDFIUM:
        document = pypdfium2.PdfDocument(pdf)
        try:
            document.init_forms()
            return tuple(_png(page) for page in document)
        finally:
            document.close()


def show_pdf(pdf: bytes, height_px: int) -> None:
    """The pages below one another in a box that scrolls."""
    pages = _pages(pdf)
    with st.container(height=height_px, border=True):
        for number, page in enumerate(pages, start=1):
            st.image(page, width="stretch", alt=f"Page {number} of {len(pages)}")


def _png(page: pypdfium2.PdfPage) -> bytes:
    buffer = io.BytesIO()
    page.render(scale=_SCALE, may_draw_forms=True).to_pil().save(buffer, "PNG")
    return buffer.getvalue()


@st.cache_data(show_spinner=False, max_entries=12)
def _pages(pdf: bytes) -> tuple[bytes, ...]:
    return pdf_pages(pdf)
