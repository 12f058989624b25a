"""The world's scenes, captions and checker agree with each other."""

import random

import pytest
from PIL import Image, ImageDraw

from shapes import captions, checker, world
from shapes.captions import Request, Wanted


@pytest.mark.parametrize("kind", world.KINDS)
def test_checker_accepts_what_the_renderer_draws(kind: str) -> None:
    random_ = random.Random(5)
    for index in range(250):
        scene = world.sample(random_, kind, held_out=index % 2 == 0)
        text = captions.caption(scene, random_)
        scores = checker.check(world.render(scene), captions.parse(text))
        assert all(scores.values()), (text, scores, checker.look(world.render(scene)))


@pytest.mark.parametrize("kind", world.KINDS)
def test_checker_rejects_another_scene(kind: str) -> None:
    random_ = random.Random(6)
    for _ in range(100):
        scene, other = world.sample(random_, kind), world.sample(random_, kind)
        if world.combination(scene) != world.combination(other):
            text = captions.caption(scene, random_, complete=True)
            assert not all(checker.check(world.render(other), captions.parse(text)).values()), text


def test_captions_parse_back_to_their_scenes() -> None:
    random_ = random.Random(7)
    for _ in range(2000):
        scene = world.sample(random_)
        text = captions.caption(scene, random_, complete=True)
        request = captions.parse(text)
        assert request.background == scene.background, text
        assert [(w.colour, w.shape) for w in request.wanted] == [(t.colour, t.shape) for t in scene.things], text
        assert captions.parse(text.upper()) == request


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a red circle on a blue background", Request((Wanted("red", "circle"),), None, "blue")),
        ("Two green squares", Request((Wanted("green", "square"),) * 2)),
        ("a heart", Request((Wanted(None, "heart"),))),
        (
            "a yellow star above a purple triangle on a white background",
            Request((Wanted("yellow", "star"), Wanted("purple", "triangle")), "above", "white"),
        ),
        (
            "a red circle left of a blue square",
            Request((Wanted("red", "circle"), Wanted("blue", "square")), "left"),
        ),
        (
            "a pink cross on the right and a black heart on the left, grey background",
            Request((Wanted("pink", "cross"), Wanted("black", "heart")), "right", "gray"),
        ),
        (
            "a red circle at the bottom and a blue square at the top",
            Request((Wanted("red", "circle"), Wanted("blue", "square")), "below"),
        ),
    ],
)
def test_parse(text: str, expected: Request) -> None:
    assert captions.parse(text) == expected


def test_parse_refuses_what_names_no_shape() -> None:
    with pytest.raises(ValueError, match="names no shape"):
        captions.parse("a cat on a mat")


def test_relation_is_seen_from_the_second_thing() -> None:
    request = captions.parse("a red circle below a blue square")
    assert request.ordered() == captions.parse("a blue square above a red circle")


def test_held_out_combinations_are_never_sampled_for_training() -> None:
    random_ = random.Random(8)
    trained = {world.combination(world.sample(random_)) for _ in range(5000)}
    held_out = {world.combination(world.sample(random_, held_out=True)) for _ in range(500)}
    assert not trained & held_out


def test_a_blob_is_no_shape() -> None:
    picture = Image.new("RGB", (64, 64), world.PALETTE["white"])
    draw = ImageDraw.Draw(picture)
    draw.line([(10, 10), (30, 50), (50, 10)], fill=world.PALETTE["red"], width=4)
    (thing,) = checker.look(picture).things
    assert (thing.colour, thing.shape) == ("red", None)
