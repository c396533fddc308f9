"""The lipogram verifier: good sentences, and every trick we could think of."""

import re

import pytest

from puzzlebox.envs.text import make_task
from puzzlebox.envs.text.lipogram import faults
from puzzlebox.envs.text.topics import TOPICS
from puzzlebox.envs.text.words import NOUNS, VERB_FORMS, WORDS
from puzzlebox.errors import UsageError

DOGS = frozenset(("dog", "dogs", "puppy", "barks"))


@pytest.mark.parametrize(
    "sentence",
    [
        "A dog barks at night.",
        "My small dog runs and jumps in our yard!",
        "Do dogs play in rain?",
        'A boy said, "I want a dog."',
        '"A dog barks at night."',
        "I don't want a dog, I'll buy a cat; dogs bark a lot.",
        "My dog's tail wags, and I laugh.",
        " A dog barks at night.\n",
        "Dogs run, jump, play, bark, dig, nap and sit in a happy group.",
        "A dog barks at Tomas.",  # one word in five may be unknown
    ],
)
def test_sentences_that_are_right(sentence):
    assert faults(sentence, "e", DOGS) == []


@pytest.mark.parametrize(
    ("trick", "reason"),
    [
        ("", "one sentence"),
        ("A dog barks at me.", "letter e"),
        ("A dog barks at EVIL cats.", "letter e"),
        ("A dog barks at mе today.", "ASCII"),  # a Cyrillic look-alike of e
        ("A dog barks at m\u0435.", "ASCII"),
        ("A dog barks at caf\u00e9s.", "ASCII"),
        ("A dog barks at m3 now.", "ASCII"),
        ("A dog barks * at night.", "ASCII"),
        ("A dog barks at night. \U0001f436", "ASCII"),
        ("A dog\u200b barks at night.", "ASCII"),
        ("A dog barks at night", "ends with"),
        ("A dog barks. A cat sits.", "one sentence"),
        ("A dog barks at night...", "one sentence"),
        ("A dog\nbarks at night.", "ASCII"),
        ("Sure! A dog barks at night.", "one sentence"),
        ("a dog barks at night.", "capital"),
        ("A DOG BARKS AT NIGHT.", "shout"),
        ("A dOg bArks at night.", "shout"),
        ("A dog barks.", "5 to 30 words"),
        ("Dog.", "5 to 30 words"),
        ("A dog, " + "a cat and a bird and a fish and an owl, " * 4 + "run.", "5 to 30 words"),
        ("Dog dog dog dog dog dog.", "repeat"),
        ("A dog runs a dog runs a dog runs.", "repeat"),
        ("A a a a a dog barks.", "repeat"),
        ("It is in it and it is in it, dog, it is.", "repeat"),
        ("Blorf dog zint vask trop barks.", "common English"),
        ("A dog barks at xqzt.", "common English"),
        ("A dog barks at aaaa.", "common English"),
        ("A dog barks at bcd.", "common English"),
        ("A dog barks x y.", "common English"),
        ("A dog barks at " + "a" * 3 + "bo" * 9 + ".", "common English"),
        ("A small brown dog with a cat.", "verb"),
        ("Cats sit in our warm room.", "topic"),
        ("A dog barks at the.", "letter e"),
        ("A dog barks at a.", "end in the middle"),
        ("A dog barks at my.", "end in the middle"),
        ("A dog barks in and.", "end in the middle"),
        ("A a dog an barks now.", "repeat"),
        ("A an dog barks now.", "end in the middle"),
        ('A dog barks at "night.', "quotation"),
        ('"a dog barks at night."', "capital"),
        ("!!!!!", "one sentence"),
        ("- - - - -.", "5 to 30 words"),
        ("' ' ' ' '.", "5 to 30 words"),
        ("<answer>A dog barks at night.</answer>", "ASCII"),
    ],
)
def test_tricks(trick, reason):
    found = faults(trick, "e", DOGS)
    assert any(reason in fault for fault in found), found


def test_what_the_documentation_says_it_cannot_rule_out():
    assert faults("A dog big runs sky.", "e", DOGS) == []
    assert faults("My dog is a cloud.", "e", DOGS) == []


def test_one_sentence_does_not_serve_every_prompt():
    task = make_task("lipogram")
    examples = task.examples("train", 60, 0) + task.examples("test", 60, 0)
    for example in examples:
        served = [other for other in examples if task.correct(other, example.completion)]
        assert task.correct(example, example.completion)
        assert len(served) < len(examples) / 5


def test_partial_reward_by_hand():
    task = make_task("lipogram,partial=0.5")
    example = next(e for s in ("train", "test") for e in task.examples(s, 200, 0) if e.data["topic"] == "dogs")
    assert example.prompt == "Write one short sentence about dogs without using the letter e."
    assert task.reward(example, "A dog barks at night.") == 1
    assert task.reward(example, "A dog barks at the green tree.") == pytest.approx(0.5 * 4 / 7)
    assert not task.correct(example, "A dog barks at the green tree.")
    assert task.reward(example, "A dog barks at the green tree") == pytest.approx(0.5 * 4 / 7 / 2)  # and no full stop
    assert task.reward(example, "A dog barks") == pytest.approx(0.5 / 4)  # too short, no full stop
    assert task.reward(example, "") == 0
    assert all(task.reward(example, "b " * number) < 0.05 for number in range(1, 20))
    assert make_task("lipogram").reward(example, "A dog barks at the green tree.") == 0
    with pytest.raises(UsageError, match=r"partial is 1\.0; it must be at most"):
        make_task("lipogram,partial=1")


def test_other_letters():
    task = make_task("lipogram,letter=s")
    for example in task.examples("train", 40, 0):
        assert "s" not in example.data["topic"]
        assert "s" not in example.completion
        assert any("s" not in word for word in example.data["words"])
        assert not task.correct(example, "She sells shells.")


def test_topics_can_be_written_about():
    for topic, (words, sentence) in TOPICS.items():
        words = frozenset(words.split())
        assert not set(faults(sentence, "e", words)) - {"must not contain the letter e"} or "e" in topic, sentence
        if "e" not in topic:
            assert "e" not in sentence.lower(), sentence
            assert sum("e" not in word for word in words) >= 3, topic


def test_words_are_inflected_by_the_rules_of_spelling():
    right = """dogs boxes cities boys dishes walked stopped hoped tried played stopping hoping seeing trying bigger
    biggest nicer happier happily simply gently runs ran running goes visited visiting"""
    wrong = "boxs citys stoped hopeing tryed biger simplely thier recieve zxq blorf"
    assert set(right.split()) <= WORDS
    assert not set(wrong.split()) & WORDS
    assert len(WORDS) > 5000
    assert sum("e" not in word for word in WORDS) > 2000
    assert all(re.fullmatch("[a-z']+", word) for word in WORDS)
    assert len(set(NOUNS)) == len(NOUNS)
    assert VERB_FORMS < WORDS
