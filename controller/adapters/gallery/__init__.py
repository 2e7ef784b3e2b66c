"""The gallery: durable rows in ClickHouse and flat files for the search."""

from controller.adapters.gallery.gallery import Gallery
from controller.adapters.gallery.store import GalleryUnavailable

__all__ = ["Gallery", "GalleryUnavailable"]
