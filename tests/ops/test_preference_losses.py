import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from puzzlebox.errors import UsageError
from puzzlebox.ops.preference_losses import (
    bradley_terry_loss,
    centring_loss,
    dpo_loss,
    hinge_loss,
    ipo_loss,
    kto_baseline,
    kto_loss,
    preference_metrics,
    robust_dpo_loss,
)

ZERO = jnp.zeros(3)
CHOSEN, REJECTED = jnp.array([0.4, -1.0, 3.0]), jnp.array([-0.6, 0.5, 0.0])  # Δ = 1, −1.5, 3


def sigma(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def test_where_policy_and_reference_agree():
    np.testing.assert_allclose(dpo_loss(ZERO, ZERO, 0.1), np.log(2), rtol=1e-6)
    np.testing.assert_allclose(dpo_loss(ZERO, ZERO, 0.1, 0.3), np.log(2), rtol=1e-6)
    np.testing.assert_allclose(robust_dpo_loss(ZERO, ZERO, 0.1, 0.3), np.log(2), rtol=1e-6)
    np.testing.assert_allclose(hinge_loss(ZERO, ZERO, 0.1), 1.0)
    np.testing.assert_allclose(ipo_loss(ZERO, ZERO, 0.1), 25.0, rtol=1e-6)  # 1 / (4 · 0.01)
    np.testing.assert_allclose(kto_loss(ZERO, jnp.array([True, False, True]), 0.0, 0.1, 1.0, 3.0), [0.5, 1.5, 0.5])
    np.testing.assert_allclose(bradley_terry_loss(ZERO, ZERO), np.log(2), rtol=1e-6)


def test_pairs_by_hand():
    # βΔ = ½, −¾, 1½
    np.testing.assert_allclose(dpo_loss(CHOSEN, REJECTED, 0.5), -np.log(sigma([0.5, -0.75, 1.5])), rtol=1e-6)
    np.testing.assert_allclose(hinge_loss(CHOSEN, REJECTED, 0.5), [0.5, 1.75, 0.0], rtol=1e-6)
    np.testing.assert_allclose(ipo_loss(CHOSEN, REJECTED, 0.5), [0.0, 6.25, 4.0], rtol=1e-6)  # (Δ − 1)²


def test_the_gradient_of_dpo_weighs_a_pair_by_how_wrong_it_is():
    gradients = jax.grad(lambda c, r: dpo_loss(c, r, 0.5).sum(), argnums=(0, 1))(CHOSEN, REJECTED)
    weight = 0.5 * sigma([-0.5, 0.75, -1.5])  # β σ(−βΔ)
    np.testing.assert_allclose(gradients, [-weight, weight], rtol=1e-5)


def test_an_extreme_pair_stays_finite():
    far = jnp.array([1e4])
    for loss in (dpo_loss, lambda c, r, b: dpo_loss(c, r, b, 0.1), hinge_loss, ipo_loss):
        value, gradient = jax.value_and_grad(lambda c, loss=loss: loss(c, far, 1.0).sum())(-far)
        assert np.isfinite(value) and np.isfinite(gradient).all() and gradient[0] < 0


def test_label_smoothing_has_its_minimum_where_the_odds_are_those_of_the_labels():
    best = jnp.array([np.log(0.9 / 0.1) / 0.5])  # σ(βΔ) = 1 − ε
    gradient = jax.grad(lambda c: dpo_loss(c, jnp.zeros(1), 0.5, 0.1).sum())
    np.testing.assert_allclose(gradient(best), 0.0, atol=1e-6)
    assert gradient(best - 0.1)[0] < 0 < gradient(best + 0.1)[0]


def test_the_robust_loss_of_flipped_labels_averages_to_dpo():
    flip = 0.3
    right, wrong = robust_dpo_loss(CHOSEN, REJECTED, 0.5, flip), robust_dpo_loss(REJECTED, CHOSEN, 0.5, flip)
    np.testing.assert_allclose((1 - flip) * right + flip * wrong, dpo_loss(CHOSEN, REJECTED, 0.5), rtol=1e-5)
    np.testing.assert_allclose(robust_dpo_loss(CHOSEN, REJECTED, 0.5, 0.0), dpo_loss(CHOSEN, REJECTED, 0.5), rtol=1e-6)
    with pytest.raises(UsageError, match=r"label_smoothing is 0\.5"):
        robust_dpo_loss(CHOSEN, REJECTED, 0.5, 0.5)


def test_kto_by_hand():
    # z = ½, β = 2: log-ratio 1 -> β(1 − ½) = 1
    loss = kto_loss(jnp.array([1.0, 1.0, -0.5]), jnp.array([True, False, False]), 0.5, 2.0, 1.5, 0.8)
    np.testing.assert_allclose(loss, [1.5 * sigma(-1), 0.8 * sigma(1), 0.8 * sigma(-2)], rtol=1e-6)
    label = jnp.array([True, False, False])
    gradient = jax.grad(lambda x: kto_loss(x, label, 0.5, 2.0, 1.5, 0.8).sum())(jnp.array([1.0, 1.0, -0.5]))
    slope = [-1.5 * sigma(1) * sigma(-1), 0.8 * sigma(1) * sigma(-1), 0.8 * sigma(2) * sigma(-2)]
    np.testing.assert_allclose(gradient, 2 * np.array(slope), rtol=1e-5)


def test_the_baseline_of_kto_is_never_negative_and_takes_no_gradient():
    assert kto_baseline(jnp.array([0.5, -0.1])) == pytest.approx(0.2)
    assert kto_baseline(jnp.array([0.5, -0.9])) == 0.0
    assert (jax.grad(kto_baseline)(jnp.array([0.5, -0.1])) == 0).all()
    assert jax.grad(lambda z: kto_loss(ZERO, jnp.ones(3, bool), z, 0.1).sum())(0.3) == 0


def test_the_reward_model_losses_by_hand():
    np.testing.assert_allclose(bradley_terry_loss(CHOSEN, REJECTED, 0.5), -np.log(sigma([0.5, -2, 2.5])), rtol=1e-6)
    np.testing.assert_allclose(centring_loss(CHOSEN, REJECTED), [0.04, 0.25, 9.0], rtol=1e-5)
    # P(better) of the scores 0.9 and 0.1 is σ(0.8)
    assert float(jnp.exp(-bradley_terry_loss(jnp.float32(0.9), jnp.float32(0.1)))) == pytest.approx(sigma(0.8))


def test_metrics_by_hand():
    metrics = preference_metrics(CHOSEN, REJECTED, 0.5)
    expected = {"chosen": 0.4, "rejected": -0.1 / 6, "margins": 2.5 / 6, "accuracies": 2 / 3}
    assert {name.removeprefix("rewards/"): float(x) for name, x in metrics.items()} == pytest.approx(expected)
    assert preference_metrics(ZERO, ZERO, 0.5)["rewards/accuracies"] == 0


# Every answer enumerated: 6 of them, the policy a table of logits.
REFERENCE = jax.nn.log_softmax(jnp.array([0.3, -0.5, 1.0, 0.0, -1.2, 0.4]))
REWARD = jnp.array([0.5, 1.0, -1.0, 0.0, 2.0, -0.5])
BEATS = jax.nn.sigmoid(REWARD[:, None] - REWARD)  # [i, j]: P(i beats j), Bradley-Terry


def train_on_all_pairs(loss):
    """Gradient descent on Σ_ij P(i beats j) loss(i over j), from the reference: the policy's log-probs."""

    def objective(logits):
        log_ratio = jax.nn.log_softmax(logits) - REFERENCE
        return (BEATS * loss(log_ratio[:, None], log_ratio[None, :])).mean()

    optimiser = optax.adam(optax.cosine_decay_schedule(0.05, 3000))

    def update(carry, _):
        logits, state = carry
        updates, state = optimiser.update(jax.grad(objective)(logits), state)
        return (optax.apply_updates(logits, updates), state), None

    (logits, _), _ = jax.lax.scan(update, (REFERENCE, optimiser.init(REFERENCE)), None, 3000)
    return jax.nn.softmax(logits)


@pytest.mark.parametrize("loss", [dpo_loss, lambda c, r, b: robust_dpo_loss(c, r, b, 0.0)])
def test_dpo_on_bradley_terry_preferences_finds_the_regularised_optimum(loss):
    best = np.exp(np.asarray(REFERENCE, np.float64) + np.asarray(REWARD) / 0.5)  # π* ∝ π_ref exp(r / β)
    np.testing.assert_allclose(train_on_all_pairs(lambda c, r: loss(c, r, 0.5)), best / best.sum(), atol=1e-4)


def test_robust_dpo_finds_it_from_flipped_labels_where_dpo_does_not():
    best = np.exp(np.asarray(REFERENCE, np.float64) + np.asarray(REWARD) / 0.5)
    best /= best.sum()

    def flipped(loss):
        return train_on_all_pairs(lambda c, r: 0.8 * loss(c, r) + 0.2 * loss(r, c))

    np.testing.assert_allclose(flipped(lambda c, r: robust_dpo_loss(c, r, 0.5, 0.2)), best, atol=1e-4)
    assert np.abs(flipped(lambda c, r: dpo_loss(c, r, 0.5)) - best).max() > 0.05


def test_ipo_finds_its_own_optimum():
    # Least squares on Δ_ij = (P(i beats j) − ½) / β: π* ∝ π_ref exp(mean_j P(i beats j) / β), Azar et al. 2023.
    best = np.exp(np.asarray(REFERENCE, np.float64) + np.asarray(BEATS.mean(1)) / 0.2)
    np.testing.assert_allclose(train_on_all_pairs(lambda c, r: ipo_loss(c, r, 0.2)), best / best.sum(), atol=1e-4)
