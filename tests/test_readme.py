"""What the README says came back is what the reference records say."""

from phalar.paths import repository
from phalar.study import results, tables

SHOWN = ("phalar", "gap", "tempo + chroma", "aligned onsets + chroma")


def test_numbers_of_the_readme_are_those_of_the_reference_run():
    lines = (repository() / "README.md").read_text().splitlines()
    measured = tables.retrieval_measured(results.read(repository() / results.REFERENCE))
    datasets = {dataset for dataset, _, k in measured if k == 64}
    assert datasets == {"chorales", "band", "studio"}
    for dataset in datasets:
        (line,) = [line for line in lines if line.startswith(f"| *{dataset}* |")]
        for variant in SHOWN:
            row = measured[dataset, variant, 64]
            number = tables.with_interval(row.value, row.low, row.high)
            assert f"| {number} |" in line, f"{variant} on {dataset} at K = 64: {number}"
