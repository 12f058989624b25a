"""Write which of transformers' processors can't be had without torchvision.

Reads the source of the installed transformers and imports none of it, so that the result depends on its version alone:
with torchvision, or without, its classes are others.

    python scripts/make_processor_catalog.py [FILE]
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path

CATALOG = Path(__file__).resolve().parent.parent / "src" / "aquatint" / "catalog" / "data" / "processors.json"
PACKAGE = "torchvision"
# What computes with torchvision derives from the first; the same without it has the suffix, and is taken in its place.
_BACKEND, _WITHOUT = "TorchvisionBackend", "Pil"


def needing(root: Path) -> set[str]:
    """Return the names of the classes in transformers' folder `root` that need the package and have no substitute."""
    found = {kind: {each.name: each for path in sorted(root.glob(f"models/*/{kind}_*.py")) for each in _classes(path)}
             for kind in ("processing", "image_processing", "video_processing")}  # fmt: skip
    pictures = found["image_processing"]
    return {
        *(name for name, each in found["processing"].items() if _is_marked(each) or _takes_videos(each)),
        *(name for name, each in pictures.items()
          if (_is_marked(each) or _derives(each, _BACKEND, pictures)) and f"{name}{_WITHOUT}" not in pictures),
        *(name for name in found["video_processing"] if name.endswith("VideoProcessor")),
    }  # fmt: skip


def _classes(path: Path) -> list[ast.ClassDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    exported = [each for each in tree.body if isinstance(each, ast.Assign)
                and ast.unparse(each.targets[0]) == "__all__"]  # fmt: skip
    names = [name for each in exported for name in ast.literal_eval(each.value)]
    return [each for each in tree.body if isinstance(each, ast.ClassDef) and each.name in names]


def _is_marked(found: ast.ClassDef) -> bool:
    return any(ast.unparse(each).startswith("requires(") and f"'{PACKAGE}'" in ast.unparse(each)
               for each in found.decorator_list)  # fmt: skip


def _takes_videos(found: ast.ClassDef) -> bool:
    # A processor is loaded with all the parts that its constructor takes.
    inits = [each for each in found.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"]
    return any(argument.arg == "video_processor" for init in inits for argument in init.args.args)


def _derives(found: ast.ClassDef, base: str, others: dict[str, ast.ClassDef]) -> bool:
    names = [ast.unparse(each) for each in found.bases]
    return base in names or any(name in others and _derives(others[name], base, others) for name in names)


def main() -> None:
    """Write the catalog."""
    spec = importlib.util.find_spec("transformers")
    assert spec is not None and spec.origin is not None
    document = {
        "transformers": importlib.metadata.version("transformers"), PACKAGE: sorted(needing(Path(spec.origin).parent))
    }  # fmt: skip
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else CATALOG
    file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
