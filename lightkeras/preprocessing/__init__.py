"""Raw sequences and images into arrays."""

from lightkeras.preprocessing import image, sequence

__all__ = ["image", "sequence"]
