"""Data sets: every entry explained, kept in a store on disk, and picked out again.

Importing it loads neither torch nor zarr: each public name is fetched from its module at first use.
"""

from typing import TYPE_CHECKING

from signxai.common.lazy import fetched_at_first_use

if TYPE_CHECKING:
    from signxai.datasets.certifying_entries import certify_entries
    from signxai.datasets.clusters import Clusters
    from signxai.datasets.file_sources import FileSource, image_folder, manifest
    from signxai.datasets.patterns import ClusterSettings, cluster_maps
    from signxai.datasets.ray_run import RayOptions
    from signxai.datasets.recording_sources import RecordingSource, Window, beats_of, windows_of
    from signxai.datasets.run import explain_dataset
    from signxai.datasets.sources import ArraySource, Entries, Source, TorchSource
    from signxai.datasets.store import Store
    from signxai.datasets.store_writer import Failure
    from signxai.datasets.views import PictureView, SignalView, ValuesView
    from signxai.datasets.virelay import export_virelay

_HOMES = {
    "certifying_entries": ("certify_entries",),
    "clusters": ("Clusters",),
    "patterns": ("ClusterSettings", "cluster_maps"),
    "file_sources": ("FileSource", "image_folder", "manifest"),
    "recording_sources": ("RecordingSource", "Window", "beats_of", "windows_of"),
    "ray_run": ("RayOptions",),
    "run": ("explain_dataset",),
    "sources": ("ArraySource", "Entries", "Source", "TorchSource"),
    "store": ("Store",),
    "store_writer": ("Failure",),
    "views": ("PictureView", "SignalView", "ValuesView"),
    "virelay": ("export_virelay",),
}
_HOME = {name: f"signxai.datasets.{module}" for module, names in _HOMES.items() for name in names}

__all__ = [
    "ArraySource",
    "ClusterSettings",
    "Clusters",
    "Entries",
    "Failure",
    "FileSource",
    "PictureView",
    "RayOptions",
    "RecordingSource",
    "SignalView",
    "Source",
    "Store",
    "TorchSource",
    "ValuesView",
    "Window",
    "beats_of",
    "certify_entries",
    "cluster_maps",
    "explain_dataset",
    "export_virelay",
    "image_folder",
    "manifest",
    "windows_of",
]

__getattr__, __dir__ = fetched_at_first_use(__name__, _HOME, __all__)
