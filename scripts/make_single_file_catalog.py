"""Write the catalog of single files: by which names diffusers tells what one holds, and whose configurations are its.

Reads the source of the installed diffusers and imports none of it.

    python scripts/make_single_file_catalog.py [FILE]
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

CATALOG = Path(__file__).resolve().parent.parent / "src" / "aquatint" / "catalog" / "data" / "single_files.json"


def constants(path: Path) -> dict[str, ast.expr]:
    """Return the names that a module assigns at its top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        target.id: node.value
        for node in tree.body if isinstance(node, ast.Assign)
        for target in node.targets if isinstance(target, ast.Name)
    }  # fmt: skip


def catalog() -> str:
    """Return the catalog as JSON."""
    spec = importlib.util.find_spec("diffusers")
    assert spec is not None and spec.origin is not None, "diffusers is installed"
    loaders = Path(spec.origin).parent / "loaders"
    told = constants(loaders / "single_file_utils.py")
    keys: dict[str, Any] = ast.literal_eval(told["CHECKPOINT_KEY_NAMES"])
    paths: dict[str, dict[str, str]] = ast.literal_eval(told["DIFFUSERS_DEFAULT_PIPELINE_PATHS"])
    loadable = constants(loaders / "single_file_model.py")["SINGLE_FILE_LOADABLE_CLASSES"]
    assert isinstance(loadable, ast.Dict)
    optional = ast.literal_eval(constants(loaders / "single_file.py")["SINGLE_FILE_OPTIONAL_COMPONENTS"])
    found = {
        "diffusers": importlib.metadata.version("diffusers"),
        "classes": sorted(ast.literal_eval(key) for key in loadable.keys if key is not None),
        "keys": {name: [key] if isinstance(key, str) else key for name, key in keys.items()},
        "left_out": optional,
        "repositories": {kind: path["pretrained_model_name_or_path"] for kind, path in paths.items()},
    }
    return json.dumps(found, indent=1, sort_keys=True) + "\n"


def main() -> None:
    """Write the catalog to the file that the first argument names, or to the package's own."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else CATALOG
    target.write_text(catalog(), encoding="utf-8")


if __name__ == "__main__":
    main()
