"""Where the project and the tests' data are."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / "tools"
DATA = Path(__file__).parent / "data"
ECG_DATA = DATA / "ecg"
PACKAGE_DATA = ROOT / "src" / "signxai" / "data"
