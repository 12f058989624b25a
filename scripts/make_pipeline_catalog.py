"""Write the catalog of diffusers pipelines: what each is made of, which arguments its call takes, what its models do.

Reads the source of the installed diffusers and imports none of it: a pipeline that needs a package which isn't
installed is in the catalog all the same, and the result depends on diffusers' version alone.

    python scripts/make_pipeline_catalog.py [FILE]
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import json
import re
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

from diffusers_source import Module, alternatives, described, method, parameters, value
from pipeline_checks import Checks, goes_before

CATALOG = Path(__file__).resolve().parent.parent / "src" / "aquatint" / "catalog" / "data" / "pipelines.json"

# Names of the tables of `auto_pipeline.py`, in the order in which a pipeline's tasks are listed.
TASKS = {
    "TEXT2IMAGE": "text-to-image",
    "IMAGE2IMAGE": "image-to-image",
    "INPAINT": "inpainting",
    "TEXT2VIDEO": "text-to-video",
    "CONDITION2VIDEO": "condition-to-video",
    "IMAGE2VIDEO": "image-to-video",
    "VIDEO2VIDEO": "video-to-video",
    "TEXT2AUDIO": "text-to-audio",
}


# How an annotation says that an argument is a picture, or several.
_PICTURES = re.compile(r"PipelineImageInput|(list\[)?(PIL\.)?Image\.Image\]?")

# What caches need of a pipeline: the names of a step's passes, and the number of the time step that it is at.
CACHING = {"cache_context": r"\.cache_context\(", "current_timestep": r"def current_timestep\("}


class Library:
    """The pipelines in a folder that holds diffusers' source."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.homes: dict[str, list[Module]] = {}
        for path in sorted((root / "pipelines").rglob("*.py")):
            module = Module(path)
            for name in module.classes:
                self.homes.setdefault(name, []).append(module)

    def exported(self) -> list[str]:
        """Return the names that `diffusers` exports from its `pipelines`, whatever they are."""
        return self._exported_from("pipelines")

    def schedulers(self) -> dict[str, dict[str, Any]]:
        """Return the schedulers that `diffusers` exports, each with those that its own settings also serve."""
        modules = [Module(path) for path in sorted((self.root / "schedulers").rglob("*.py"))]
        classes = [(module, node) for module in modules for node in module.classes.values()]
        exported = [name for name in self._exported_from("schedulers") if name.endswith("Scheduler")]
        karras = next(assigned(node) for _, node in classes if node.name == "KarrasDiffusionSchedulers")
        found: dict[str, dict[str, Any]] = {}
        for module, node in classes:
            listed = assigned(node).get("_compatibles")
            # Either names, or a comprehension over the enumeration of what works on one kind of noise.
            names = list(karras) if isinstance(listed, ast.ListComp) else ast.literal_eval(listed) if listed else []
            alike = [name for name in names if name in exported and name != node.name]
            constructor = method([(module, node)], "__init__")
            options = {} if constructor is None else described(*constructor)
            entry: dict[str, Any] = {"alike": alike, "options": options}
            setter = method([(module, node)], "set_timesteps")
            given = {each.name for each in parameters(setter[1])} if setter is not None else set()
            if spaced := [name for name in ("timesteps", "sigmas") if name in given]:
                entry["spaced"] = spaced
            found.setdefault(node.name, entry)
        return {name: found.get(name, {}) for name in exported}

    def modules(self) -> list[str]:
        """Return the names of the packages inside `diffusers.pipelines`, by which checkpoints name parts of theirs.

        Those that diffusers has moved into one called `deprecated` are named with that.
        """
        packages = self.root / "pipelines"
        inits = [*packages.glob("*/__init__.py"), *packages.glob("deprecated/*/__init__.py")]
        return sorted(init.parent.relative_to(packages).as_posix().replace("/", ".") for init in inits)

    @cached_property
    def loras(self) -> dict[str, list[str]]:
        """Return the classes that read LoRAs for pipelines, each with the components that it has them for."""
        found = Module(self.root / "loaders" / "lora_pipeline.py").classes
        listed = {name: assigned(node).get("_lora_loadable_modules") for name, node in found.items()}
        return {name: ast.literal_eval(modules) for name, modules in sorted(listed.items()) if modules is not None}

    def networks(self) -> dict[str, list[str]]:
        """Return what can be set of how each class of models computes, of those of which anything can.

        `tiling` and `slicing` are of autoencoders, `attention` of models whose layers ask for their attention by name,
        `cache` of those that can leave out steps' work, `compile` of those that name the blocks that they repeat.
        """
        modules = [Module(path) for path in sorted((self.root / "models").rglob("*.py"))]
        homes: dict[str, list[Module]] = {}
        for module in modules:
            for name in module.classes:
                homes.setdefault(name, []).append(module)
        dispatching = _dispatching(modules)
        found: dict[str, list[str]] = {}
        for name, at in sorted(homes.items()):
            ancestry = self.ancestry(name, homes)
            bases = {node.name for _, node in ancestry}
            if "ModelMixin" not in bases or name == "ModelMixin":
                continue
            abilities = [ability for ability in ("tiling", "slicing") if _can_switch(ancestry, ability)]
            abilities += ["attention"] if any(module in dispatching for module in at) else []
            abilities += ["cache"] if "CacheMixin" in bases else []
            blocks = next((b for _, node in ancestry if (b := assigned(node).get("_repeated_blocks"))), None)
            abilities += ["compile"] if blocks is not None and ast.literal_eval(blocks) else []
            if abilities:
                found[name] = abilities
        return found

    def attention(self) -> list[str]:
        """Return the names of the ways to compute attention."""
        found = Module(self.root / "models" / "attention_dispatch.py").classes["AttentionBackendName"]
        return [ast.literal_eval(value) for value in assigned(found).values()]

    def caches(self) -> dict[str, dict[str, list[Any]]]:
        """Return the configurations of caches that a model's `enable_cache` takes, each with its fields."""
        mixin = Module(self.root / "models" / "cache_utils.py").classes["CacheMixin"]
        enable = next(each for each in mixin.body if isinstance(each, ast.FunctionDef) and each.name == "enable_cache")
        names = [
            ast.unparse(call.args[1])
            for call in ast.walk(enable)
            if isinstance(call, ast.Call) and ast.unparse(call.func) == "isinstance"
        ]
        modules = [Module(path) for path in sorted((self.root / "hooks").glob("*.py"))]
        homes = {name: module for module in modules for name in module.classes}
        return {name: _fields(homes[name], homes[name].classes[name]) for name in sorted(names)}

    def _exported_from(self, package: str) -> list[str]:
        tree = ast.parse((self.root / "__init__.py").read_text(encoding="utf-8"))
        return sorted(
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module == package
            for alias in node.names
        )

    def find(
        self, name: str, used_in: Module | None = None, homes: dict[str, list[Module]] | None = None
    ) -> tuple[Module, ast.ClassDef] | None:
        """Return the class that `name` means in the module `used_in`, and the module that defines it.

        `homes` are the modules that have classes of a name; those of the pipelines unless it is given.
        """
        if used_in is not None:
            if name in used_in.classes:
                return used_in, used_in.classes[name]
            name = used_in.aliases.get(name, name)
        # Where a class exists twice, the other one is kept for old imports only.
        own = (self.homes if homes is None else homes).get(name, [])
        own = sorted(own, key=lambda module: "deprecated" in module.path.parts)
        return (own[0], own[0].classes[name]) if own else None

    def ancestry(self, name: str, homes: dict[str, list[Module]] | None = None) -> list[tuple[Module, ast.ClassDef]]:
        """Return the class and its bases within the pipelines, or within `homes`, nearest first."""
        found: list[tuple[Module, ast.ClassDef]] = []

        def visit(module: Module | None, name: str) -> None:
            home = self.find(name, module, homes)
            if home is not None and home not in found:
                found.append(home)
                for base in home[1].bases:
                    visit(home[0], ast.unparse(base).rpartition(".")[2])

        visit(None, name)
        return found

    def tasks(self) -> dict[str, list[str]]:
        """Return the tasks of each pipeline that one of the `AutoPipelineFor...` classes chooses."""
        tree = ast.parse((self.root / "pipelines" / "auto_pipeline.py").read_text(encoding="utf-8"))
        found: dict[str, set[str]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                target = ast.unparse(node.targets[0])
                for table, task in TASKS.items():
                    if f"AUTO_{table}_" in target:
                        for used in ast.walk(node.value):
                            if isinstance(used, ast.Name):
                                found.setdefault(used.id, set()).add(task)
        return {name: [task for task in TASKS.values() if task in tasks] for name, tasks in found.items()}

    def families(self) -> dict[str, list[str]]:
        """Return the classes that `auto_pipeline.py` has for the same weights, by the name that it calls those."""
        tree = ast.parse((self.root / "pipelines" / "auto_pipeline.py").read_text(encoding="utf-8"))
        found: dict[str, dict[str, None]] = {}
        for node in ast.walk(tree):
            target = ast.unparse(node.targets[0]) if isinstance(node, ast.Assign) else ""
            if not re.match(r"_?AUTO_\w+_MAPPING\b", target):
                continue
            assert isinstance(node, ast.Assign)
            # A decoder's class is called like the one that has the prior's parts as well.
            after = "-decoder" if "_DECODER_" in target else ""
            pairs = [
                (each.elts[0].value, each.elts[1].id)
                for each in ast.walk(node.value)
                if isinstance(each, ast.Tuple) and isinstance(each.elts[0], ast.Constant)
                and isinstance(each.elts[1], ast.Name)
            ]  # fmt: skip
            if isinstance(node.targets[0], ast.Subscript) and isinstance(node.value, ast.Name):
                pairs = [(ast.literal_eval(node.targets[0].slice), node.value.id)]
            for family, name in pairs:
                found.setdefault(f"{family}{after}", {})[name] = None
        return {family: list(names) for family, names in found.items()}


def assigned(node: ast.ClassDef) -> dict[str, ast.expr]:
    """Return what a class's body assigns to plain names."""
    return {
        target.id: each.value
        for each in node.body
        if isinstance(each, ast.Assign)
        for target in each.targets
        if isinstance(target, ast.Name)
    }


def _dispatching(modules: list[Module]) -> set[Module]:
    """Return the modules whose layers ask for their attention by name, or are of a module whose layers do."""
    found = {module for module in modules if _attending(module)}
    layers = {module.path.stem: _with_layers_of(module, _attending(module)) for module in found}
    for module in modules:
        for node in module.tree.body:
            if isinstance(node, ast.ImportFrom):
                names = layers.get((node.module or "").rpartition(".")[2], set())
                if any(alias.name in names for alias in node.names):
                    found.add(module)
    return found


def _attending(module: Module) -> list[str]:
    """Return the classes of `module` that compute attention in the way that they are told."""
    return [name for name, node in module.classes.items() if "_attention_backend" in assigned(node)]


def _with_layers_of(module: Module, processors: list[str]) -> set[str]:
    """Return the classes of `module` that are `processors`, or name one of these, or a class that does."""
    found = set(processors)
    while True:
        more = {
            name for name, node in module.classes.items()
            if name not in found and any(isinstance(each, ast.Name) and each.id in found for each in ast.walk(node))
        }  # fmt: skip
        if not more:
            return found
        found |= more


def _can_switch(ancestry: list[tuple[Module, ast.ClassDef]], ability: str) -> bool:
    """Return whether `enable_tiling`, or `enable_slicing`, does something for a class: some inherit it and refuse."""
    enable = method(ancestry, f"enable_{ability}")
    if enable is None or isinstance(enable[1].body[-1], ast.Raise):
        return False
    return any(
        ast.unparse(target) == f"self.use_{ability}"
        for _, node in ancestry
        for item in node.body
        if isinstance(item, ast.FunctionDef) and item.name == "__init__"
        for each in ast.walk(item)
        if isinstance(each, ast.Assign)
        for target in each.targets
    )


def _fields(module: Module, node: ast.ClassDef) -> dict[str, list[Any]]:
    """Return the fields of a dataclass, as `described` does the parameters of a method."""
    return {
        each.target.id: [
            " | ".join(alternatives(each.annotation)),
            *([] if each.value is None else [value(each.value, module)]),
        ]
        for each in node.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }


def optional_components(ancestry: list[tuple[Module, ast.ClassDef]]) -> list[str]:
    """Return the nearest `_optional_components`."""
    for _, node in ancestry:
        for item in node.body:
            targets = item.targets if isinstance(item, ast.Assign) else []
            if any(isinstance(target, ast.Name) and target.id == "_optional_components" for target in targets):
                return list(ast.literal_eval(item.value))  # type: ignore[attr-defined]
    return []


def registered(ancestry: list[tuple[Module, ast.ClassDef]]) -> set[str]:
    """Return the names that the constructors pass to `register_modules`."""
    return {
        keyword.arg
        for _, node in ancestry
        for item in node.body
        if isinstance(item, ast.FunctionDef) and item.name == "__init__"
        for call in ast.walk(item)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "self.register_modules"
        for keyword in call.keywords
        if keyword.arg
    }


def prepared(call: ast.FunctionDef) -> set[str]:
    """Return the arguments that a call hands to a processor of pictures or videos, whatever type they are said to be.

    `self.image_processor.preprocess(image)` takes all that a `PipelineImageInput` is.
    """
    return {
        node.args[0].id
        for node in ast.walk(call)
        if isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Name)
        and re.fullmatch(r"self\.\w*processor\.preprocess(_video)?", ast.unparse(node.func))
    }  # fmt: skip


# Where the annotations of a call are of other arguments than its own text and code are.
_MISTYPED = {
    ("VisualClozePipeline", "image"): "list[list[PIL.Image.Image | None]]",
    ("VisualClozeGenerationPipeline", "image"): "list[list[PIL.Image.Image | None]]",
    ("VersatileDiffusionDualGuidedPipeline", "prompt"): "str | list[str]",
    ("VersatileDiffusionDualGuidedPipeline", "image"): "PIL.Image.Image | list[PIL.Image.Image]",
}


def is_handed_on(statements: list[ast.stmt], name: str) -> bool:
    """Return whether `statements` hand the argument `name` to a processor of pictures, be it there or not."""
    for each in statements:
        if isinstance(each, ast.With):
            if is_handed_on(each.body, name):
                return True
        elif isinstance(each, ast.If):
            told = ast.unparse(each.test)
            if re.fullmatch(rf"{name} is (not )?None", told):
                return False
            # Of those that are there, a kind of its own.
            if re.match(rf"{name} is not None and |isinstance\({name}, ", told) and is_handed_on(each.orelse, name):
                return True
        elif not isinstance(each, ast.For | ast.While):
            found = [ast.unparse(node) for node in ast.walk(each) if isinstance(node, ast.Call)]
            if any(re.match(rf"self\.\w*processor\.preprocess(_video)?\({name}\b", call) for call in found):
                return not any(isinstance(node, ast.IfExp) for node in ast.walk(each))
            if isinstance(each, ast.Assign) and name in map(ast.unparse, each.targets):
                return False
    return False


def call_arguments(module: Module, call: ast.FunctionDef, pipeline: str) -> dict[str, list[Any]]:
    """Return the parameters of a pipeline's call, of which some are pictures where their annotation says otherwise.

    Of pictures without which a call can't begin, None is no value, whatever their annotation says.
    """
    found = described(module, call)
    for name, parameter in found.items():
        parameter[0] = _MISTYPED.get((pipeline, name), parameter[0])
    for name in prepared(call) & found.keys():
        said = found[name][0].split(" | ")
        # Texts are for processors that compose pictures of several.
        if "str" not in said and not any(_PICTURES.fullmatch(each) for each in said):
            found[name][0] = " | ".join(["PipelineImageInput", *said])
        # With None in its place the call fails.
        if "str" not in said and is_handed_on(call.body, name):
            found[name][0] = found[name][0].removesuffix(" | None")
    for name in read_at_once(call) & found.keys():
        said = found[name][0].split(" | ")
        if any(_PICTURES.fullmatch(each) for each in said):
            found[name][0] = " | ".join(each for each in said if each != "None")
    return found


def read_at_once(call: ast.FunctionDef) -> set[str]:
    """Return the parameters of which a call reads an attribute whatever else it is given: None has none of these."""
    found: set[str] = set()
    set_before: set[str] = set()
    for statement in call.body:
        if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.Expr):
            set_before |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)
                           and isinstance(node.ctx, ast.Store)}  # fmt: skip
            continue
        text = ast.unparse(statement)
        read = {node.value.id for node in ast.walk(statement) if isinstance(node, ast.Attribute)
                and isinstance(node.value, ast.Name) and isinstance(node.ctx, ast.Load)}  # fmt: skip
        # Whether it is None, an expression may ask itself.
        found |= {name for name in read - set_before if not re.search(rf"\b{name} (is|and|or)\b|\bif {name}\b", text)}
        set_before |= {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)
                       and isinstance(node.ctx, ast.Store)}  # fmt: skip
    return found


def packages(ancestry: list[tuple[Module, ast.ClassDef]]) -> list[str]:
    """Return what has to be installed, beside what diffusers needs, for a pipeline to be made and to read its prompt.

    Of what a module imports only `if is_..._available()`, its functions and its class's constructor use that without
    asking again.
    """
    found: dict[str, None] = {}
    for module, node in ancestry:
        bodies = [each for each in [*module.tree.body, *node.body] if isinstance(each, ast.FunctionDef)]
        used = [each for each in bodies if each in module.tree.body or each.name == "__init__"]
        for each in module.tree.body:
            asked = (
                re.fullmatch(r"is_(\w+)_available\(\)", ast.unparse(each.test)) if isinstance(each, ast.If) else None
            )
            if asked is None:
                continue
            assert isinstance(each, ast.If)
            # The package, where it isn't a module of diffusers that needs it, by the name under which it is imported.
            names = {
                alias.asname or alias.name: (item.module or "") if isinstance(item, ast.ImportFrom) else alias.name
                for item in each.body if isinstance(item, ast.Import | ast.ImportFrom)
                for alias in item.names
            }  # fmt: skip
            own = {alias for item in each.body if isinstance(item, ast.ImportFrom) and item.level for alias in names}
            for function in used:
                words = {item.id for item in ast.walk(function) if isinstance(item, ast.Name)}
                if f"is_{asked[1]}_available" not in words:
                    found |= dict.fromkeys(asked[1] if name in own else names[name] for name in words & names.keys())
    return sorted(found)


def yields(
    library: Library, module: Module, call: ast.FunctionDef, arguments: dict[str, list[Any]]
) -> list[str]:  # fmt: skip
    """Return the names of what a call returns, in their order; nothing where that can't be told.

    Several pictures for each image, which are cut from a list of all, are `layers`; but not where the call is given
    rows of pictures, whose empty places say how many that are.
    """
    returned = [node.value for node in ast.walk(call) if isinstance(node, ast.Return)]
    made = [node for node in returned if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Output")]
    if not made:
        return []
    # The last one is that of the call that goes to its end.
    last = max(made, key=lambda node: node.lineno)
    home = library.find(ast.unparse(last.func), module)
    fields = [] if home is None else [
        item.target.id for item in home[1].body if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    ]  # fmt: skip
    named = [keyword.arg for keyword in last.keywords if keyword.arg]
    cut = {ast.unparse(keyword.value) for keyword in last.keywords if keyword.arg == "images"} & {
        ast.unparse(node.func.value) for node in ast.walk(call)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "append"
        and isinstance(node.args[0], ast.Subscript) and isinstance(node.args[0].slice, ast.Slice)
    }  # fmt: skip
    names = dict.fromkeys([*fields[: len(last.args)], *named])
    of_rows = any("list[list[" in type and "Image" in type for type, *_ in arguments.values())
    return ["layers" if name == "images" and cut and not of_rows else name for name in names]


def gives_latents(call: ast.FunctionDef) -> bool:
    """Return whether a call can leave out the decoding of what it has made."""
    return any(isinstance(node, ast.Constant) and node.value == "latent" for node in ast.walk(call))


def latent_dims(ancestry: list[tuple[Module, ast.ClassDef]], call: ast.FunctionDef) -> int | None:
    """Return how many dimensions the latents have that a call takes and gives; None where that can't be told.

    They are those of the noise that it makes itself, or the three of a batch of tokens where it packs its own alone.
    """
    prepare = method(ancestry, "prepare_latents")
    if prepare is None or "latents" not in {each.name for each in parameters(call)}:
        return None
    assigned = (node for node in ast.walk(prepare[1]) if isinstance(node, ast.Assign))
    shapes = {
        len(node.value.elts)
        for node in assigned
        if ast.unparse(node.targets[0]) == "shape" and isinstance(node.value, ast.Tuple)
    }
    asked = re.compile("latents is (not )?None")
    choice = next((node for node in ast.walk(prepare[1])
                   if isinstance(node, ast.If) and asked.fullmatch(ast.unparse(node.test))), None)  # fmt: skip
    if choice is None or len(shapes) != 1:
        return None
    is_first = ast.unparse(choice.test).endswith("is not None")
    body, orelse = ("\n".join(map(ast.unparse, each)) for each in (choice.body, choice.orelse))
    given, made = (body, orelse) if is_first else (orelse, body)
    packs = "_pack_latents(" in ast.unparse(prepare[1]) or "patchify" in ast.unparse(prepare[1])
    if re.search("pack|ndim|patchify", given) or (packs and "return" not in given and "_pack_latents(" not in made):
        return None
    return 3 if packs else shapes.pop()


def gives_pixels(call: ast.FunctionDef) -> bool:
    """Return whether a call that decodes nothing can return its pixels as the denoiser left them, as a tensor."""
    asked = (ast.unparse(node) for node in ast.walk(call) if isinstance(node, ast.Compare))
    return not gives_latents(call) and "output_type == 'pt'" in asked


def rate(module: Module) -> int | None:
    """Return the frames in a second of which the example in a pipeline's own documentation writes a video."""
    example = module.constants.get("EXAMPLE_DOC_STRING")
    text = example.value if isinstance(example, ast.Constant) else ""
    found = re.search(r"\bfps=(\d+)", str(text))
    return None if found is None else int(found[1])


def describe(library: Library, name: str, tasks: list[str]) -> dict[str, Any] | None:
    """Return a pipeline's entry; None if `name` is no pipeline class, or one that can't be called."""
    ancestry = library.ancestry(name)
    constructor, call = method(ancestry, "__init__"), method(ancestry, "__call__")
    bases = dict.fromkeys(ast.unparse(base).rpartition(".")[2] for _, node in ancestry for base in node.bases)
    if "DiffusionPipeline" not in bases or constructor is None or call is None:
        return None
    may_be_left_out, known = optional_components(ancestry), registered(ancestry)
    components: dict[str, list[str]] = {}
    optional: list[str] = []
    options: dict[str, Any] = {}
    for parameter in parameters(constructor[1]):
        role, default = parameter.name, parameter.default
        if default is not None and role not in may_be_left_out and role not in known:
            options[role] = value(default, constructor[0])
            continue
        components[role] = [text for text in alternatives(parameter.annotation) if text != "None"]
        if default is not None or role in may_be_left_out:
            optional.append(role)
    arguments = call_arguments(*call, name)
    timesteps = method(ancestry, "get_timesteps")
    truncates = timesteps is not None and "int(num_inference_steps * strength)" in ast.unparse(timesteps[1])
    loras = library.loras
    source = "\n".join(ast.unparse(node) for _, node in ancestry)
    caching = [need for need in ("cache_context", "current_timestep") if re.search(CACHING[need], source)]
    entry = {
        "truncates": truncates, "tasks": tasks, "components": components, "optional": optional, "options": options,
        "arguments": arguments, "lora": next((base for base in bases if base in loras), None),
        "textual_inversion": "TextualInversionLoaderMixin" in bases,
        "ip_adapter": next((base for base in bases if base.endswith("IPAdapterMixin")), None),
        "yields": yields(library, *call, arguments), "latent": gives_latents(call[1]), "pixels": gives_pixels(call[1]),
        "fps": rate(call[0]), "caching": caching, "packages": packages(ancestry),
        "checks": Checks(ancestry, call[1]).found, "before": goes_before(ancestry),
        "latent_dims": latent_dims(ancestry, call[1]),
    }  # fmt: skip
    return {key: content for key, content in entry.items() if content}


def catalog() -> str:
    """Return the text of the catalog: JSON, a line per pipeline, so that a change shows in a diff."""
    spec = importlib.util.find_spec("diffusers")
    if spec is None or spec.origin is None:
        raise SystemExit("diffusers is not installed")
    library = Library(Path(spec.origin).parent)
    tasks = library.tasks()
    entries = {name: describe(library, name, tasks.get(name, [])) for name in library.exported()}
    lines = [
        f"{json.dumps(name)}:{json.dumps(entry, separators=(',', ':'), allow_nan=False)}"
        for name, entry in sorted(entries.items())
        if entry is not None
    ]
    version = json.dumps(importlib.metadata.version("diffusers"))
    names = {
        "schedulers": library.schedulers(), "modules": library.modules(), "families": library.families(),
        "loras": library.loras, "networks": library.networks(), "attention": library.attention(),
        "caches": library.caches(),
    }  # fmt: skip
    head = "".join(f"{json.dumps(key)}:{json.dumps(value, separators=(',', ':'))}," for key, value in names.items())
    return f'{{"diffusers":{version},{head}"pipelines":{{\n' + ",\n".join(lines) + "\n}}\n"


def main() -> None:
    """Write the catalog to the file that the first argument names, or to the package's own."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else CATALOG
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(catalog(), encoding="utf-8")


if __name__ == "__main__":
    main()
