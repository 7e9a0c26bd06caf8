"""The command line loses no results and misreads no tables."""

import pytest


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a|kind\n1|x\n2|x\n3|y\n", "has no feature columns beside the target 'a|kind'"),
        ("id,v\nr,a\ns,b\nt,c\n", "column 'id' holds 3 different texts"),
        ("v,kind\n1,a\n2,b\n3,c\n", "target 'kind' holds 3 different texts"),
    ],
)
def test_what_is_wrong_with_a_table_comes_before_the_held_out_rows(
    refused, tmp_path, content, message
):
    (tmp_path / "data.csv").write_text(content)
    assert message in refused("train", tmp_path / "data.csv", "--header")
