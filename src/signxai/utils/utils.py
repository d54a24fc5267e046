"""The original package's helpers, under its import path."""

from signxai.utils.innvestigate_call import calculate_explanation_innvestigate
from signxai.utils.last_activation import remove_softmax
from signxai.utils.pictures import aggregate_and_normalize_relevancemap_rgb, download_image, download_model, load_image, normalize_heatmap

__all__ = [
    "aggregate_and_normalize_relevancemap_rgb",
    "calculate_explanation_innvestigate",
    "download_image",
    "download_model",
    "load_image",
    "normalize_heatmap",
    "remove_softmax",
]
