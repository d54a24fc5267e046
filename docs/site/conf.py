"""How Sphinx makes the site: from README.md, docs/ and the docstrings, with nothing from the network.

Its source folder is the checkout itself, so that a link that works on GitHub works here, too. ``make docs`` builds it.
"""

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from signxai import __version__

project = "signxai"
author = "The signxai developers"
project_copyright = author
version = release = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser", "docstrings", "mathml"]
root_doc = "docs/index"
include_patterns = [
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/*.md", "docs/reference/*.md"),
    *("benchmarks/RESULTS.md", "src/signxai/data/*.md", "src/signxai/data/*/README.md"),
]
exclude_patterns = [".*", "tests", "tools", "examples", "out", "build", "dist", "docs/images", "docs/site"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

autodoc_member_order = "groupwise"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autoclass_content = "class"
default_role = "literal"
napoleon_use_rtype = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

nitpicky = True
# Other packages have no entries here, since nothing is fetched, nor has what is not public: their names stand as text.
_NOT_PUBLIC = ("engine", "methods.batch", "methods.cam", "methods.registry", "names.tables", "text.page", "timeseries.signal_input")
nitpick_ignore_regex = [
    (r"py:.*", r"(?!signxai\.).*"),
    (r"py:.*", rf"signxai\.({'|'.join(map(re.escape, _NOT_PUBLIC))})\..*"),
    # protocols of what is in signxai.timeseries
    (r"py:.*", r"signxai\.figures\.(spectrum_plots\.(SpectralRelevance|ShortTimeRelevance)|summary_plots\.Summary)"),
    (r"py:.*", r"signxai\.figures\.paging\.SampleT"),  # any type
]

html_theme = "furo"
html_title = f"signxai {__version__}"
html_math_renderer = "mathml"
html_extra_path = ["start"]
html_copy_source = False
html_show_sourcelink = False
