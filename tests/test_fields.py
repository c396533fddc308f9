"""The names under which a hyper-parameter is known."""

from puzzlebox.fields import spellings


def test_gamma_and_discount_are_the_same_thing():
    assert spellings("discount") == ("discount", "gamma")
    assert spellings("gamma") == ("gamma", "discount")
    assert spellings("learning_rate") == ("learning_rate",)
