import hashlib
from pathlib import Path


def fingerprint(paths):
    h = hashlib.blake2b(digest_size=16)
    for p in paths:
        p = Path(p)
        for f in sorted(p.rglob("*")) if p.is_dir() else [p]:
            if f.is_file():
                h.update(f.name.encode() + f.read_bytes())
    return h.hexdigest()
