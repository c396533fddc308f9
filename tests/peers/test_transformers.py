"""Side by side with transformers, torch and peft, where they are installed.

SmolLM2 is compared too where `puzzlebox fetch smollm2` has put it on this machine.
"""

import importlib.util
import json
import warnings
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    transformers = pytest.importorskip("transformers")

from puzzlebox.data.gguf import load_gguf  # noqa: E402
from puzzlebox.data.gguf_export import save_gguf  # noqa: E402
from puzzlebox.data.huggingface import load_decoder, save_decoder  # noqa: E402
from puzzlebox.data.peft import load_adapter, save_adapter  # noqa: E402
from puzzlebox.data.tensors import skeleton  # noqa: E402
from puzzlebox.data.tokenizer import Tokenizer  # noqa: E402
from puzzlebox.errors import UsageError  # noqa: E402
from puzzlebox.nets.decoder import DecoderConfig  # noqa: E402
from puzzlebox.nets.linear import add_lora, merge_lora  # noqa: E402
from puzzlebox.runs.fetch import smollm2  # noqa: E402

spec = importlib.util.spec_from_file_location("make_expected", Path(__file__).parent / "make_expected.py")
make_expected = importlib.util.module_from_spec(spec)
spec.loader.exec_module(make_expected)
TOLERANCE = 2e-5
SENTENCES = (
    "The capital of France is Paris, and the capital of Italy is Rome.",
    "def add(a, b):\n    return a + b\n",
    "In 1898 Thorndike put cats into boxes; 12 × 34 = 408.",
)

# Warnings of the peers are no errors of ours.
pytestmark = pytest.mark.filterwarnings("ignore")


@eqx.filter_jit
def run(decoder, tokens):
    return jax.nn.log_softmax(decoder(tokens))


def ours(decoder, row):
    return np.asarray(run(decoder, jnp.asarray(row)[None]))[0]


def of_model(model, row):
    with torch.no_grad():
        return model(torch.tensor(np.asarray(row))[None]).logits[0].log_softmax(-1).numpy()


def report(record_property, name, found, expected):
    difference = float(np.abs(found - expected).max())
    print(f"{name}: largest difference of a log-probability {difference:.1e}")
    record_property(name, difference)
    return difference


def write(directory, name):
    case = json.loads((make_expected.EXPECTED / f"{name}.json").read_text())
    make_expected.write(directory, case["config"], case["shapes"])


@pytest.mark.parametrize("name", sorted(make_expected.CASES))
def test_every_log_prob_of_every_family(name, tmp_path, record_property):
    write(tmp_path / "theirs", name)
    decoder = load_decoder(tmp_path / "theirs")
    row = np.random.default_rng(2).integers(0, 61, 32)
    expected = make_expected.log_probs(tmp_path / "theirs", row)
    assert report(record_property, name, ours(decoder, row), expected) < TOLERANCE
    save_decoder(decoder, tmp_path / "ours")
    assert report(record_property, f"{name} saved", make_expected.log_probs(tmp_path / "ours", row), expected) < 1e-5


def random(tree, scale=0.3):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: jnp.asarray(scale * rng.standard_normal(x.shape), jnp.float32), tree)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tied": False, "qkv_bias": True, "windows": (0, 3, 0, 3)},
        {"qk_norm": True, "num_kv_heads": 1, "head_dim": 16},
        {"windows": (5, 5, 5, 5), "rope_scaling": ("llama3", 4.0, 1.0, 4.0, 32)},
    ],
)
def test_models_of_our_own_open_in_transformers(changes, tmp_path):
    decoder = random(skeleton(DecoderConfig(61, **changes)), 0.1)
    save_decoder(decoder, tmp_path, shard_bytes=200_000)
    Tokenizer.characters().save(tmp_path)
    row = np.random.default_rng(2).integers(0, 61, 40)
    assert np.abs(ours(decoder, row) - make_expected.log_probs(tmp_path, row)).max() < TOLERANCE
    assert transformers.AutoTokenizer.from_pretrained(tmp_path)("3+4").input_ids == [ord(c) for c in "3+4"]


@pytest.mark.parametrize("changes", [{}, {"tied": False, "qkv_bias": True}, {"qk_norm": True, "head_dim": 128}])
def test_transformers_reads_our_gguf_files(changes, tmp_path):
    # transformers takes qwen3 heads of a GGUF file to be 128 wide, as all published ones are.
    config = DecoderConfig(258, num_kv_heads=2, **changes)
    decoder = random(skeleton(config), 0.1)
    save_gguf(decoder, Tokenizer.characters(), tmp_path / "m.gguf", dtype="float32")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf", dtype=torch.float32)
    row = np.random.default_rng(2).integers(0, 258, 40)
    assert np.abs(ours(decoder, row) - of_model(model, row)).max() < TOLERANCE


ADAPTED = [("llama", ("query", "value", "down")), ("qwen3", ("all",)), ("gemma2", ("all",))]
ADAPTED += [("gpt2", ("query", "value", "out")), ("gpt_neox", ("all",))]


@pytest.mark.parametrize(("name", "targets"), ADAPTED)
def test_peft_opens_our_adapters(name, targets, tmp_path, record_property):
    peft = pytest.importorskip("peft")
    write(tmp_path / "base", name)
    base = load_decoder(tmp_path / "base")
    fresh = add_lora(base, 3, 4.0, targets, jax.random.key(0))
    filled = random(fresh, 0.2)
    adapted = jax.tree.map(lambda before, new: new if (before == 0).all() else before, fresh, filled)
    save_adapter(adapted, tmp_path / "adapter", str(tmp_path / "base"))
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    model = peft.PeftModel.from_pretrained(model, tmp_path / "adapter").eval()
    row = make_expected.tokens(61)
    expected = of_model(model, row)
    assert np.abs(expected - ours(base, row)).max() > 0.1
    assert report(record_property, f"{name} adapted", ours(adapted, row), expected) < TOLERANCE
    model.save_pretrained(tmp_path / "again")
    assert np.abs(ours(load_adapter(base, tmp_path / "again"), row) - expected).max() < TOLERANCE
    save_decoder(adapted, tmp_path / "merged", original=tmp_path / "base")
    assert np.abs(make_expected.log_probs(tmp_path / "merged", row) - expected).max() < TOLERANCE


@pytest.mark.parametrize("rslora", [False, True])
def test_we_open_what_peft_trained(rslora, tmp_path):
    peft = pytest.importorskip("peft")
    write(tmp_path / "base", "llama")
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    settings = {"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "up_proj"], "rank_pattern": {"up_proj": 2}}
    settings |= {"alpha_pattern": {"layers.1.mlp.up_proj": 20}, "layers_to_transform": [1], "use_rslora": rslora}
    model = peft.get_peft_model(model, peft.LoraConfig(**settings, init_lora_weights=False))
    model.save_pretrained(tmp_path / "adapter")
    row = make_expected.tokens(61)
    decoder = load_adapter(load_decoder(tmp_path / "base"), tmp_path / "adapter")
    assert np.abs(ours(decoder, row) - of_model(model.eval(), row)).max() < TOLERANCE
    assert np.abs(ours(merge_lora(decoder), row) - ours(decoder, row)).max() < TOLERANCE


class TestSmolLM2:
    @pytest.fixture(scope="class")
    def path(self):
        try:
            return smollm2()
        except UsageError as error:
            pytest.skip(str(error))

    @pytest.fixture(scope="class")
    def model(self, path):
        decoder, reader = load_gguf(path)
        return decoder, Tokenizer.from_gguf(reader)

    def test_knows_the_capital_of_france(self, model):
        decoder, tokenizer = model
        ids = tokenizer.encode("The capital of France is")
        assert tokenizer.decode([int(ours(decoder, ids)[-1].argmax())]) == " Paris"

    def test_saved_it_has_the_same_log_probs_in_transformers(self, model, tmp_path, record_property):
        decoder, tokenizer = model
        save_decoder(decoder, tmp_path)
        tokenizer.save(tmp_path)
        theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
        for sentence in SENTENCES:
            ids = tokenizer.encode(sentence)
            found, expected = ours(decoder, ids), of_model(theirs, ids)
            steps = np.arange(len(ids) - 1)
            assert report(record_property, repr(sentence), found[steps, ids[1:]], expected[steps, ids[1:]]) < 1e-4
            # Of all 49,152 tokens the rarest differ most: either side is up to 5e-5 from what torch says in float64.
            assert report(record_property, "all tokens", found, expected) < 2e-4

    def test_transformers_reads_the_same_model_from_the_file(self, model, path, record_property):
        decoder, tokenizer = model
        theirs = transformers.AutoModelForCausalLM.from_pretrained(
            path.parent, gguf_file=path.name, dtype=torch.float32
        )
        ids = tokenizer.encode(SENTENCES[0])
        assert report(record_property, "file", ours(decoder, ids), of_model(theirs, ids)) < 2e-4
