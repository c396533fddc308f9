"""Every symptom on a case made to show it, and beside it a healthy one that shows nothing."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from puzzlebox import cli
from puzzlebox.data.language_model import LanguageModel
from puzzlebox.errors import UsageError
from puzzlebox.evaluation import doctor, symptoms
from puzzlebox.runs.build import load_model
from puzzlebox.runs.configure import configure

TINY = "new,layers=1,width=16,heads=2,kv_heads=2,hidden=16,context=64"
RISE = np.linspace(0, 1, 20)


def config(algorithm="grpo", task="count", seeds=3, **options):
    return configure(algorithm, task, seeds, 0, {"model": TINY, **options} if task == "count" else options)


def rows(**metrics):
    """Lines of metrics.jsonl; a number stays, an array is one agent's curve."""
    columns = {name.replace("__", "/"): np.broadcast_to(np.asarray(v, float), 20) for name, v in metrics.items()}
    return [{"steps": i} | {name: [column[i]] for name, column in columns.items()} for i in range(20)]


def with_noise(level):
    return level + np.random.default_rng(0).normal(0, 0.05, 20)


# check, ill metrics, healthy metrics
CASES = [
    (symptoms.no_numbers, {"loss": np.where(RISE > 0.7, np.nan, 1)}, {"loss": 1 - RISE}),
    (symptoms.flat_return, {"reward": with_noise(0.3)}, {"reward": with_noise(RISE)}),
    (symptoms.flat_return, {"episode_return": with_noise(-RISE)}, {"episode_return": with_noise(RISE)}),
    (symptoms.flat_return, {"reward": with_noise(0.3)}, {"reward": 1.0}),
    (symptoms.groups_without_variance, {"frac_reward_zero_std": 0.8, "reward": 0.1}, {"frac_reward_zero_std": 0.3}),
    (symptoms.first_update_drifts, {"approximate_kl": 0.01}, {"approximate_kl": 1e-9}),
    (symptoms.divergence_grows, {"kl": np.exp(5 * RISE) / 10}, {"kl": np.minimum(RISE, 0.3)}),
    (
        symptoms.entropy_collapses,
        {"reward": RISE, "entropy": np.exp(-8 * RISE)},
        {"reward": RISE, "entropy": 1 - RISE / 2},
    ),
    (symptoms.entropy_collapses, {"reward": 0, "entropy": np.exp(-8 * RISE)}, {"reward": 0, "entropy": 1 - 3 * RISE}),
    (symptoms.cut_off, {"completions__cut_off": 0.9}, {"completions__cut_off": 0.1}),
    (symptoms.empty_completions, {"completions__mean_length": 1.05}, {"completions__mean_length": 3.0}),
    (symptoms.chosen_falls, {"logps__chosen": -20 - 8 * RISE}, {"logps__chosen": -20 + RISE}),
    (symptoms.clips_much, {"clip_fraction": 0.6}, {"clip_fraction": 0.1}),
]


@pytest.mark.parametrize(("check", "ill", "healthy"), CASES)
def test_symptom_shows_and_health_does_not(check, ill, healthy):
    found = check(config(), rows(**ill))
    assert len(found) == 1 and found[0].what and found[0].do
    assert check(config(), rows(**healthy)) == []
    assert check(config(), []) == []


def test_advice_for_groups_depends_on_the_reward():
    hard, easy = (symptoms.groups_without_variance(config(), rows(frac_reward_zero_std=1, reward=r))[0] for r in (0, 1))
    assert "too hard" in hard.do and "nearly solved" in easy.do


def test_several_updates_may_differ_from_the_sampler():
    assert symptoms.first_update_drifts(config(num_epochs=2), rows(approximate_kl=0.01)) == []


def test_seeds():
    assert symptoms.few_seeds(config(seeds=1), [])[0].severity == "note"
    assert symptoms.few_seeds(config(seeds=3), []) == []


def test_kto_balance_names_the_weight_that_mends_it():
    few = symptoms.kto_balance(config("kto", desirable_weight=1.0), rows(frac_desirable=0.2))[0]
    assert few.value == 0.25 and "--desirable-weight 4" in few.do
    assert symptoms.kto_balance(config("kto", desirable_weight=4.0), rows(frac_desirable=0.2)) == []
    assert "--undesirable-weight 4" in symptoms.unbalanced(0.8)[0].do
    assert "both" in symptoms.unbalanced(1.0)[0].do


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        ({"lora_alpha": 8.0}, "--lora-alpha 8.0"),
        ({"lora_targets": "query"}, "--lora-targets query"),
        ({"clip_high": 0.2, "num_epochs": 2}, "--clip-high 0.2"),
        ({"clip_high": 0.28}, "--clip-high 0.28"),
        ({"clip_ratio": 0.1}, "--clip-ratio 0.1"),
        ({"average": "fixed"}, "--average fixed"),
        ({"learning_rate": 0.0}, "learning_rate is 0"),
        ({"warmup": 100, "steps": 100}, "still rising"),
    ],
)
def test_options_without_effect(options, flag):
    found = symptoms.options_without_effect(config(**options), [])
    assert len(found) == 1 and flag in found[0].what


def test_options_with_effect_are_not_blamed():
    assert symptoms.options_without_effect(config(), []) == []
    good = {"lora_rank": 4, "lora_alpha": 8.0, "clip_high": 0.28, "num_epochs": 2, "average": "fixed", "scale": False}
    assert symptoms.options_without_effect(config(**good), []) == []
    idle = symptoms.options_without_effect(config("ppo_lm", kl_horizon=5), [])
    assert ["--kl-horizon 5" in f.what for f in idle] == [True]
    assert symptoms.options_without_effect(config("ppo_lm", kl_horizon=5, kl_target=6.0), []) == []


class Stub:
    """A tokenizer's facts about padding."""

    pad_id, stop_ids, pad_reason = 2, (2, 3), "the end-of-text token"

    def token_strings(self, ids):
        return ["</s>"]


def test_padding_that_ends_a_text():
    model = load_model(TINY)
    assert doctor.padding(model) == []
    found = doctor.padding(LanguageModel(model.decoder, Stub()))
    assert found[0].check == "pad = eos" and found[0].value == "</s>"


def test_templates():
    model = load_model(TINY)
    assert doctor.template(model)[0].severity == "note"

    def judged(text):
        return doctor.template(LanguageModel(model.decoder, model.tokenizer.with_chat_template(text)))

    good = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    good += "{% if add_generation_prompt %}<assistant>{% endif %}"
    assert judged(good) == []
    assert "not append-only" in judged("{{ messages | length }}" + good)[0].what
    assert "cannot be used" in judged("{{ messages")[0].what


def test_lost_parameters_and_drift():
    model = load_model(TINY)
    assert doctor.lost_parameters(model) == [] and doctor.drift(model) == []
    arrays, rest = eqx.partition(model.decoder, eqx.is_inexact_array)
    broken = jax.tree.map(lambda x: x * jnp.nan, arrays)
    found = doctor.lost_parameters(LanguageModel(eqx.combine(broken, rest), model.tokenizer))
    assert found[0].value == sum(x.size for x in jax.tree.leaves(arrays))


def test_a_trainer_that_disagrees_is_noticed(monkeypatch):
    true_score = doctor.score
    monkeypatch.setattr(doctor, "score", lambda *a: tuple(x + 0.01 for x in true_score(*a)))
    found = doctor.drift(load_model(TINY))
    assert found[0].severity == "error" and found[0].value == pytest.approx(0.01, rel=1e-2)


def write(path, records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records))
    return str(path)


def checks(path, model=""):
    return {f["check"] for f in doctor.doctor(path, model=model)["findings"]}


def test_files(tmp_path):
    def pair(i, chosen):
        return {"prompt": f"{i}?", "chosen": chosen, "rejected": "no"}

    file = tmp_path / "rows.jsonl"
    assert checks(write(file, [pair(i, "y" if i % 2 else "yes") for i in range(40)])) == set()
    assert checks(write(file, [pair(i, "yes") for i in range(40)])) == {"length of the chosen"}
    assert checks(write(file, [pair(i, "no" if i == 3 else "y") for i in range(19)])) == {"broken rows"}
    assert checks(write(file, [pair(i, "y") for i in range(19)] * 2)) == {"repeated rows"}
    assert checks(write(file, [pair(1, "y" * (i % 2 + 1)) for i in range(1, 3)])) == {"nothing held out"}
    assert checks(write(file, [pair(i, "y" * (98 * (i == 3) + 1)) for i in range(19)]), TINY) == {"context"}
    labels = [{"prompt": f"{i}", "completion": "c", "label": i == 0} for i in range(19)]
    assert checks(write(file, labels)) == {"KTO balance"}


def test_a_run_from_the_command_line(tmp_path, capsys):
    run = tmp_path / "run"
    train = ["train", "sft", "tiny", "--model", TINY, "--run", str(run), "--steps", "2", "--lora-alpha", "4", "--json"]
    assert cli.main(train) == 0
    capsys.readouterr()
    assert cli.main(["doctor", str(run), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert not figures["healthy"] and "sampler and trainer" in figures["checked"]
    assert {f["check"] for f in figures["findings"]} == {"no effect", "warm-up", "seeds", "chat template"}
    assert cli.main(["doctor", str(run)]) == 0
    assert "→ add --lora-rank 16" in capsys.readouterr().out


def test_what_it_cannot_examine():
    with pytest.raises(UsageError, match="'nothing' is no run"):
        doctor.doctor("nothing")


TERMS = {"progress": 2.0, "speed": 0.0, "new_area": 0.0, "rings": 1.0, "life_lost": -1.0, "complete": 0.0}


def game(**options):
    weights = "".join(f",{name}={value}" for name, value in options.items())
    return configure("ppo", f"platformer/level-1{weights}", 3, 0, {})


def test_each_term_of_a_reward_has_its_share():
    (finding,) = symptoms.terms_paid(game(new_area=0, complete=0), rows(**TERMS))
    assert finding.value == {"progress": 0.5, "rings": 0.25, "life_lost": 0.25}
    assert "progress 50%, rings 25%, life lost 25%" in finding.what
    assert symptoms.terms_paid(config("ppo", "CartPole-v1"), rows(episode_return=1.0)) == []


def test_a_term_that_weighs_and_never_pays_is_told():
    _, *silent = symptoms.terms_paid(game(speed=1), rows(**TERMS))
    assert [finding.what.split(" never")[0] for finding in silent] == ["speed", "new area", "complete"]
    assert "set speed=0" in silent[0].do


def test_a_return_that_rises_without_success_is_reward_hacking():
    rising = rows(episode_return=with_noise(10 * RISE), success=0.0)
    (finding,) = symptoms.hacked(game(), rising)
    assert finding.severity == "warning" and finding.check == "reward hacking"
    assert symptoms.hacked(game(), rows(episode_return=with_noise(10 * RISE), success=RISE)) == []
    assert symptoms.hacked(game(), rows(episode_return=with_noise(1.0), success=0.0)) == []
    assert symptoms.hacked(game(), rows(episode_return=with_noise(10 * RISE))) == []


def test_episodes_that_the_clock_ends_are_told_where_the_goal_is_not_reached():
    (finding,) = symptoms.cut_by_the_clock(game(time_limit=200), rows(success=0.0, episode_length=199.0))
    assert "199 of at most 200" in finding.what
    assert symptoms.cut_by_the_clock(game(time_limit=200), rows(success=0.0, episode_length=100.0)) == []
    assert symptoms.cut_by_the_clock(game(time_limit=200), rows(success=1.0, episode_length=199.0)) == []
    assert symptoms.cut_by_the_clock(config("ppo", "CartPole-v1"), rows(episode_length=500.0)) == []
