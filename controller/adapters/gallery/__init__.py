"""The gallery: durable rows in ClickHouse and flat files for the search."""

from controller.adapters.gallery.connect import GalleryUnavailable
from controller.adapters.gallery.gallery import Gallery

__all__ = ["Gallery", "GalleryUnavailable"]
