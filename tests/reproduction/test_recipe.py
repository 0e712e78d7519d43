"""From a record to the words that draw its frames again, and what is refused."""

from __future__ import annotations

import pytest

from storybench.errors import DataError
from storybench.records.environment import environment
from storybench.records.store import load_record
from storybench.regression.sides import load_side
from storybench.reproduction.recipe import differing_identity, differing_packages, recipe


@pytest.fixture
def side(invented, tmp_path):
    """A row with a command: ``side("run model=x", text="explicit")``."""

    def make(command, **changes):
        table = invented.invented_frames(stories=4)
        folder = invented.write_run(tmp_path / "row", table, command=f"storybench {command}", **changes)
        return load_side(str(folder))

    return make


def test_what_decides_frames_is_said_and_the_rest_left_out(side):
    outside = "run_root=/else/where device=cuda dataset.root=/a/disk format=json rescore=true"
    made = side(f"run model=storygptv paired=true {outside}", seed=3)
    assert recipe(made).command == (
        "storybench run model=storygptv paired=true subset=test text=referential seed=3 batch_size=8"
    )


def test_a_twin_is_drawn_from_its_own_text(side):
    """The twin of a paired run has the other's command; its record says which text it is."""
    words = recipe(side("run model=storygptv text=referential paired=true", text="explicit")).words
    assert "text=explicit" in words
    assert "text=referential" not in words


def test_a_sweep_is_taken_apart(side):
    words = recipe(side("run -m model=storygptv,char_ldm seed=0,1,2 subset=mini", seed=2, split="mini")).words
    assert words == ("model=invented", "subset=mini", "text=referential", "seed=2", "batch_size=8")
    with pytest.raises(DataError, match="one run of a sweep"):
        recipe(side("run -m model=storygptv model.num_inference_steps=6,30"))


def test_a_selection_is_restated(side):
    made = side("run model=storygptv split=coref_heavy")
    dataset = made.record.dataset.model_copy(update={"select": "coref_heavy"})
    words = recipe(side("run model=storygptv split=coref_heavy", dataset=dataset)).words
    assert "select=coref_heavy" in words


def test_a_sample_replaces_the_limit(side):
    assert recipe(side("run model=x limit=100"), limit=8).words[-1] == "limit=8"
    assert "limit=100" in recipe(side("run model=x limit=100")).words


@pytest.mark.parametrize(
    "command", ["submit score x", "evaluate frames=x", "", "run model=folder model.frames=x", "run 'unclosed"]
)
def test_frames_of_elsewhere_are_said_to_be_and_how_to_score_them(side, command):
    with pytest.raises(DataError, match="was drawn elsewhere") as caught:
        recipe(side(command))
    assert "storybench evaluate frames=DIR dataset=toonsv subset=test text=referential" in str(caught.value)


@pytest.mark.parametrize(
    "word",
    [
        "model._target_=os.system",
        "+model.x._target_=os.system",
        "model.scheduler={_target_:os.system}",
        "model.weights=${oc.env:HOME}",
        "hydra.run.dir=x",
        "--config-dir=x",
        "~model",
        "model@other=x",
    ],
)
def test_words_that_could_call_code_are_not_repeated(side, word):
    with pytest.raises(DataError, match="which is not run for you"):
        recipe(side(f"run model=storygptv '{word}'"))


def test_packages_that_differ_are_named_with_both_versions(side):
    found = differing_packages(side("run model=x").record)
    assert found["torch"] == ("2.0", environment("cpu").packages["torch"])
    here = side("run model=x", environment=environment("cpu")).record
    assert differing_packages(here) == {}


def test_another_model_is_told_key_by_key(side, tmp_path):
    record = side("run model=x").record
    assert differing_identity(record, record.model.model_dump()) == []
    other = {**record.model.model_dump(), "weights": {"unet": "a" * 64}, "sampler": {"steps": (1, 2)}}
    said = differing_identity(record, other)
    assert said == ["sampler.steps None there, [1, 2] here", f"weights.unet None there, {'a' * 12}… here"]
    assert load_record(tmp_path / "row") == record
