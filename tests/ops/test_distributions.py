import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from puzzlebox.ops.distributions import UNROLLED, Categorical, Gaussian, TanhGaussian

KEY = jax.random.key(0)
LOGITS = jnp.array([1.0, -2.0, 0.5, 3.0])
MASK = jnp.array([True, False, True, False])


def test_categorical_by_hand():
    # logits log 1, log 2, log 5: p = 1/8, 2/8, 5/8
    distribution = Categorical(jnp.log(jnp.array([1.0, 2.0, 5.0])))
    np.testing.assert_allclose(distribution.probs, [0.125, 0.25, 0.625], rtol=1e-6)
    np.testing.assert_allclose(distribution.log_prob(1), np.log(0.25), rtol=1e-6)
    assert int(distribution.mode()) == 2
    np.testing.assert_allclose(distribution.entropy(), scipy.stats.entropy([0.125, 0.25, 0.625]), rtol=1e-6)
    other = Categorical(jnp.zeros(3))
    np.testing.assert_allclose(
        distribution.kl(other), scipy.stats.entropy([0.125, 0.25, 0.625], [1 / 3] * 3), rtol=1e-6
    )


def test_masked_categorical_is_the_categorical_of_the_legal_actions():
    masked, legal = Categorical(LOGITS, MASK), Categorical(LOGITS[jnp.array([0, 2])])
    np.testing.assert_array_equal(masked.probs[~np.asarray(MASK)], 0.0)
    np.testing.assert_allclose(masked.probs[MASK], legal.probs, rtol=1e-6)
    np.testing.assert_allclose(masked.entropy(), legal.entropy(), rtol=1e-6)
    np.testing.assert_allclose(masked.kl(Categorical(-LOGITS, MASK)), legal.kl(Categorical(-LOGITS[::2])), rtol=1e-5)
    assert int(masked.mode()) == 0
    assert np.isfinite(masked.log_prob(1)) and float(masked.log_prob(1)) < -1e30


@pytest.mark.parametrize("mask", [None, MASK, jnp.zeros(4, bool)])
def test_categorical_gradients_are_finite_and_right(mask):
    def value(logits):
        distribution = Categorical(logits, mask)
        return (
            distribution.entropy() + 0.7 * distribution.log_prob(2) + distribution.kl(Categorical(0.3 * LOGITS, mask))
        )

    gradient = np.asarray(jax.grad(value)(LOGITS))
    step = 1e-2
    for i in range(4):
        difference = (value(LOGITS.at[i].add(step)) - value(LOGITS.at[i].add(-step))) / (2 * step)
        np.testing.assert_allclose(gradient[i], difference, atol=2e-3)
    # The log-probability of an illegal action and the entropy of a row without legal actions stay finite, too.
    assert np.isfinite(jax.grad(lambda logits: Categorical(logits, mask).log_prob(1))(LOGITS)).all()


@pytest.mark.parametrize("num_actions", [2, 7, UNROLLED, 1000])
def test_categorical_samples_follow_the_probabilities(num_actions):
    key_logits, key_mask, key_sample = jax.random.split(jax.random.key(num_actions), 3)
    logits = jax.random.normal(key_logits, (num_actions,))
    mask = jax.random.bernoulli(key_mask, 0.7, (num_actions,)).at[0].set(True).at[-1].set(False)
    distribution = Categorical(jnp.broadcast_to(logits, (4_000, num_actions)), mask)
    samples = [distribution.sample(key) for key in jax.random.split(key_sample, 10)]
    counts = np.bincount(np.concatenate(samples), minlength=num_actions)
    legal = np.asarray(mask)
    assert counts[~legal].sum() == 0
    if legal.sum() > 1:
        expected = 40_000 * np.exp(logits[mask]) / np.exp(logits[mask]).sum()
        assert scipy.stats.chisquare(counts[legal], np.asarray(expected, float), sum_check=False).pvalue > 1e-4


def test_categorical_never_samples_the_impossible_from_rare_rows():
    # One legal action among many, at every place: nothing else may come, whatever the uniform number is.
    mask = jnp.eye(UNROLLED, dtype=bool)
    samples = jax.vmap(Categorical(jnp.zeros((UNROLLED,) * 2), mask).sample)(jax.random.split(KEY, 2000))
    np.testing.assert_array_equal(samples, np.broadcast_to(np.arange(UNROLLED), samples.shape))


@pytest.mark.parametrize("extreme", [0.0, 1.0 - 2.0**-23])
def test_categorical_survives_the_extreme_uniform_numbers(monkeypatch, extreme):
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape, dtype: jnp.full(shape, extreme, dtype))
    logits = jax.random.normal(KEY, (500, 9)) * 5
    legal = jnp.arange(9) % 4 == 1  # neither the first action nor the last
    action = Categorical(logits, legal).sample(KEY)
    assert set(np.unique(action)) <= {1, 5}
    assert (action == 1).all() if extreme == 0.0 else (action == 5).any()


def test_half_precision_logits_give_float32_probabilities():
    assert Categorical(LOGITS.astype(jnp.bfloat16), MASK).log_probs.dtype == jnp.float32


def test_gaussian_against_scipy():
    mean, std, action = np.array([0.5, -1.0]), np.array([0.3, 2.0]), np.array([1.0, 1.0])
    distribution = Gaussian(jnp.array(mean), jnp.log(jnp.array(std)))
    np.testing.assert_allclose(
        distribution.log_prob(action), scipy.stats.norm(mean, std).logpdf(action).sum(), rtol=1e-5
    )
    np.testing.assert_allclose(distribution.entropy(), scipy.stats.norm(mean, std).entropy().sum(), rtol=1e-5)
    np.testing.assert_array_equal(distribution.mode(), distribution.mean)


def test_gaussian_kl_is_the_integral_it_stands_for():
    p, q = scipy.stats.norm(0.5, 0.3), scipy.stats.norm(-0.2, 0.8)
    expected = scipy.integrate.quad(lambda x: p.pdf(x) * (p.logpdf(x) - q.logpdf(x)), -4, 4)[0]
    ours = Gaussian(jnp.array([0.5]), jnp.log(0.3)).kl(Gaussian(jnp.array([-0.2]), jnp.log(0.8)))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    squashed = TanhGaussian(jnp.array([0.5]), jnp.log(0.3)).kl(TanhGaussian(jnp.array([-0.2]), jnp.log(0.8)))
    np.testing.assert_allclose(squashed, expected, rtol=1e-5)


def test_gaussian_samples_have_the_mean_and_the_deviation():
    samples = Gaussian(jnp.full((20_000, 1), 2.0), jnp.log(0.5)).sample(KEY)[:, 0]
    assert scipy.stats.kstest(np.asarray(samples), scipy.stats.norm(2.0, 0.5).cdf).pvalue > 1e-3


def squashed_density(a, mean, std, low, high):
    """The change of variables, from scipy's normal density in float64."""
    x = np.arctanh(2 * (a - low) / (high - low) - 1)
    return scipy.stats.norm(mean, std).pdf(x) / ((high - low) / 2 * (1 - np.tanh(x) ** 2))


def test_tanh_gaussian_against_the_change_of_variables():
    distribution = TanhGaussian(jnp.array([0.4]), jnp.log(0.7), low=-2.0, high=1.0)
    for a in (-1.9, -0.5, 0.3, 0.99):
        expected = np.log(squashed_density(a, 0.4, 0.7, -2.0, 1.0))
        np.testing.assert_allclose(distribution.log_prob(jnp.array([a])), expected, rtol=1e-4)
    total, _ = scipy.integrate.quad(lambda a: squashed_density(a, 0.4, 0.7, -2.0, 1.0), -2, 1)
    np.testing.assert_allclose(total, 1.0, rtol=1e-6)


@pytest.mark.parametrize("mean, std", [(0.0, 0.1), (0.4, 0.7), (-1.0, 1.5), (0.5, 3.0)])
def test_tanh_gaussian_entropy_is_its_integral(mean, std):
    x = scipy.stats.norm(mean, std)

    def integrand(z):  # over the pre-tanh value; log(1 − tanh²) = −2 log cosh
        return x.pdf(z) * (np.log(0.5 * 3.0) - 2 * (np.logaddexp(z, -z) - np.log(2)))

    expected = x.entropy() + scipy.integrate.quad(integrand, mean - 12 * std, mean + 12 * std, limit=200)[0]
    ours = TanhGaussian(jnp.array([mean]), jnp.log(std), low=-2.0, high=1.0).entropy()
    np.testing.assert_allclose(ours, expected, atol=1e-3)


def test_tanh_gaussian_samples_lie_in_the_box_with_the_density_of_log_prob():
    low, high = jnp.array([-2.0, 0.0]), jnp.array([2.0, 10.0])
    distribution = TanhGaussian(jnp.full((5000, 2), 0.3), jnp.log(0.5), low, high)
    action, log_prob = distribution.sample_and_log_prob(KEY)
    assert (action >= low).all() and (action <= high).all()
    np.testing.assert_allclose(log_prob, distribution.log_prob(action), rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(action, distribution.sample(KEY))
    np.testing.assert_allclose(distribution.mode()[0], low + (high - low) * (np.tanh(0.3) + 1) / 2, rtol=1e-6)
    # E[−log p] is the entropy.
    np.testing.assert_allclose(-log_prob.mean(), distribution.entropy()[0], atol=4 * float(log_prob.std()) / 5000**0.5)


def test_tanh_gaussian_stays_finite_where_tanh_saturates():
    def loss(mean):
        action, log_prob = TanhGaussian(mean, jnp.zeros(1), -1.0, 1.0).sample_and_log_prob(KEY)
        return (log_prob + action.sum()).sum()

    noise = float(jax.random.normal(KEY, (1,))[0])
    for mean in (-60.0, 30.0, 60.0):
        value, gradient = jax.value_and_grad(loss)(jnp.array([mean]))
        # log p = log N(x) − 2 (log 2 − |x|) for large |x|
        x = mean + noise
        expected = -0.5 * noise**2 - 0.5 * np.log(2 * np.pi) - 2 * (np.log(2) - abs(x)) + np.sign(mean)
        np.testing.assert_allclose(value, expected, rtol=1e-5)
        np.testing.assert_allclose(gradient, 2 * np.sign(mean), rtol=1e-4)
    on_the_bound = TanhGaussian(jnp.zeros(1), jnp.zeros(1)).log_prob(jnp.ones(1))
    assert np.isfinite(on_the_bound)
