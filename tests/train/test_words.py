"""The fixed text encoder: always the same, and a word's place in the sentence counts."""

import torch

from wan2gp_svi.train.words import TEXT_DIM, TEXT_LEN, encode


def test_one_token_a_word_and_zeros_behind():
    tokens = encode("a red disc")
    assert tokens.shape == (TEXT_LEN, TEXT_DIM)
    assert tokens[:3].abs().sum(dim=1).min() > 0 and not tokens[3:].any()
    assert encode("")[0].any() and not encode("")[1:].any()


def test_long_texts_are_cut():
    assert encode("word " * 100).shape == (TEXT_LEN, TEXT_DIM)


def test_letters_and_signs_do_not_count_but_words_do():
    assert torch.equal(encode("A red disc."), encode("a RED, disc"))
    assert not torch.equal(encode("a red disc"), encode("a red ring"))


def test_what_turns_blue_is_told_from_what_is_blue():
    turns, ground = encode("red turns blue over green")[2], encode("red turns green over blue")[4]
    assert not torch.allclose(turns, ground)


def test_which_comes_first_is_told():
    one, two = encode("moves right, then down"), encode("moves down, then right")
    rows = {tuple(row.tolist()) for row in one}
    assert not all(tuple(row.tolist()) in rows for row in two)
