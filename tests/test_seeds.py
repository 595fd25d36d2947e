"""Random numbers of a corpus depend on what they are for, and on nothing else."""

from phalar.corpora import seeds


def test_the_same_purpose_gives_the_same_numbers_and_another_one_others():
    """The first digest is written down here: should it change, every corpus changes."""
    assert seeds.digest(0, "order", "bwv66.6").hex() == "97f0da5f5c1b0460476111565d5a13d1"
    assert (
        seeds.digest(0, "order/bwv66.6") == seeds.digest("0", "order", "bwv66.6") == seeds.digest(0, "order", "bwv66.6")
    )
    one, again, other = (seeds.generator(0, "cast", piece).random(3).tolist() for piece in ("a", "a", "b"))
    assert one == again
    assert one != other
