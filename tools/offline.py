"""Pack the built site into one zip file that opens from a disk, search included.

    make offline        writes _build/rope-book.zip

The same site gives the same bytes: files stand in order, with one date.
"""

import sys
import zipfile
from pathlib import Path

FOLDER = "rope-book"
DATE = (2020, 1, 1, 0, 0, 0)
LEFT_OUT = {".buildinfo", ".buildinfo.bak", "objects.inv"}  # for builders, not for readers
FIRST = """\
Open index.html in this folder with a browser. Nothing else is needed: no network, no server.
"""


def pack(site: Path, target: Path) -> int:
    """Write the zip file, whole or not at all; return how many files it holds.

    Raises:
        SystemExit: there is no site at ``site``.
    """
    if not (site / "index.html").is_file():
        raise SystemExit(f"offline: {site} has no index.html; run `make book` first")
    files = sorted(path for path in site.rglob("*") if path.is_file())
    part = target.with_suffix(".part")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr(zipfile.ZipInfo(f"{FOLDER}/READ ME.txt", DATE), FIRST)
        kept = [path for path in files if path.name not in LEFT_OUT]
        for path in kept:
            info = zipfile.ZipInfo(f"{FOLDER}/{path.relative_to(site).as_posix()}", DATE)
            info.compress_type, info.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(info, path.read_bytes())
    part.replace(target)
    return len(kept)


if __name__ == "__main__":
    site, target = Path(sys.argv[1]), Path(sys.argv[2])
    count = pack(site, target)
    print(f"{target}: {count} files, {target.stat().st_size / 2**20:.1f} MiB")
