import stat

import pytest

from refvessel.errors import UserError
from refvessel.privacy.name_tables import Name, name_table, read_name_table, write_name_table
from refvessel.privacy.terms import Terms, normal_form

NAMES = [Name("patient", "p1", 'Zhang, "Wei"'), Name("image", "p1_2", "a b/ü\n1.png")]


def test_a_table_comes_back_and_is_private(tmp_path):
    path = name_table(tmp_path / "secret" / "pseudonym.key", "demo")
    write_name_table(path, NAMES)
    assert read_name_table(path) == NAMES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_folder_that_others_can_enter_is_refused(tmp_path):
    (tmp_path / "names").mkdir(mode=0o755)
    with pytest.raises(UserError, match="can be entered by others; run `chmod 700`"):
        write_name_table(tmp_path / "names" / "demo.csv", NAMES)


@pytest.mark.parametrize(
    "content", ["", "a,b\n", "kind,published,original\nking,a,b\n", "kind,published,original\na\n"]
)
def test_what_is_no_table_is_refused(tmp_path, content):
    (tmp_path / "demo.csv").write_text(content)
    with pytest.raises(UserError, match=r"demo\.csv is not a name table"):
        read_name_table(tmp_path / "demo.csv")


@pytest.mark.parametrize(
    "text", ["ZHANG^Wei", "zhang-wei", "  Zhang_Wei ", "\N{FULLWIDTH LATIN CAPITAL LETTER Z}hang  Wei"]
)
def test_spellings_have_one_normal_form(text):
    assert normal_form(text) == "zhang wei"


def test_words_of_most_patients_are_no_names():
    names = [Name("patient", f"p{n}", f"hospital_person{n}x") for n in range(12)]
    terms = Terms([names])
    assert terms.find("the hospital") is None
    assert terms.find("it was person7x").published == "p7"


def test_a_short_term_is_a_whole_word_and_a_long_one_any_part():
    terms = Terms([[Name("patient", "p1", "Bruno"), Name("patient", "p2", "Montgomery")]])
    assert terms.find("brunox") is None
    assert terms.find("(bruno)").published == "p1"
    assert terms.find("xmontgomeryx").published == "p2"
