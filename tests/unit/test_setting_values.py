from collections.abc import Callable

import pytest

import setting_values as values


def test_the_keys_of_a_file_are_those_of_its_lines() -> None:
    text = "# phones\nme:one\r\n\n  you : with:colon \n#no:key\n"
    assert values.keys_of_file(text) == ("one", "with:colon")


@pytest.mark.parametrize(("text", "told"), [
    ("", "holds no key"), ("# nothing\n", "holds no key"), ("me:one\nsecret\n", "line 2: should be name:key"),
    ("me:sécret", "line 1: the key of 'me' has characters"), ("me:two words", "letters, digits and punctuation")])
def test_a_file_of_something_else_is_told_by_its_line_and_without_its_text(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as caught:
        values.keys_of_file(text)
    assert not {"secret", "sécret", "two words"} & {str(caught.value)}


@pytest.mark.parametrize(("check", "given", "kept"), [
    (values.key_pairs, "me:one, you:two,", "me:one, you:two,"), (values.key_pairs, " ", " "),
    (values.origins, "", ""), (values.origins, "*", "*"),
    (values.origins, "HTTPS://Example.org, http://localhost:3000", "https://example.org, http://localhost:3000"),
    (values.origins, "capacitor://localhost", "capacitor://localhost"),
    (values.hosts, "Punnet.local,10.0.0.7,[::1]", "punnet.local,10.0.0.7,[::1]"),
    (values.url_prefix, "/punnet", "/punnet"), (values.url_prefix, "/a/b/", "/a/b"), (values.url_prefix, "/", ""),
])
def test_a_right_value_is_kept(check: Callable[[str], str], given: str, kept: str) -> None:
    assert check(given) == kept


@pytest.mark.parametrize(("check", "given"), [
    (values.key_pairs, "onlyakey"), (values.key_pairs, ","), (values.key_pairs, "me:"), (values.key_pairs, "me:ключ"),
    (values.key_pairs, "me:\udcff"), (values.key_pairs, "me:a b"),
    (values.origins, "example.org"), (values.origins, "https://example.org/"), (values.origins, "null"),
    (values.hosts, "punnet.local:80"), (values.hosts, "http://punnet.local"),
    (values.url_prefix, "punnet"), (values.url_prefix, "/a b"), (values.url_prefix, "//punnet"),
])
def test_a_wrong_value_is_refused(check: Callable[[str], str], given: str) -> None:
    with pytest.raises(ValueError, match=r"should be|holds no key|has characters"):
        check(given)
