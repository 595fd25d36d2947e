"""What the README says came back is what the reference records say."""

from phalar.paths import repository
from phalar.study import results, tables


def test_numbers_of_the_readme_are_those_of_the_reference_run():
    text = (repository() / "README.md").read_text()
    measured = tables.retrieval_measured(results.read(repository() / results.REFERENCE))
    assert {key[1] for key in measured} >= {"phalar", "gap"}
    for (_, variant, k), row in measured.items():
        label = tables.LABELS.get(variant, variant)
        number = tables.with_interval(row.value, row.low, row.high)
        assert f"| {label} | {k} | {number} |" in text, f"{label} at K = {k}: {number}"
