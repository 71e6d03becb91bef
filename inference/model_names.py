"""Names of models: which a folder or a bare file may bear, and how a name is written and compared."""

import hashlib
import os
import unicodedata

MOST_CHARACTERS = 100
PUNCTUATION = "._-"
RULE = f"letters and digits of any script, '.', '_' and '-', a letter or digit first, at most {MOST_CHARACTERS}"
LONGEST_ASKED = 1000  # characters: no name is longer in any form, and composing a text of megabytes may take hours
MOST_FILE_BYTES = 100  # of a name within the name of a file, which has 255 bytes at most


def composed(text: str) -> str:
    """A text in Unicode's composed form (NFC). macOS and its archives write a Korean syllable or an accented letter in
    several characters (NFD); both forms are the same name."""
    return unicodedata.normalize("NFC", text) if len(text) <= LONGEST_ASKED else text


def forms(name: str) -> set[str]:
    """A name as it stands, composed and decomposed: a file that came from macOS is named in another form than its model
    says."""
    return {name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)}


def is_name(name: str) -> bool:
    """Whether a composed text may name a model. The vowel signs of many scripts are marks, which belong to letters."""
    return (0 < len(name) <= MOST_CHARACTERS and _kind(name[0]) in "LN"
            and all(character in PUNCTUATION or _kind(character) in "LMN" for character in name))


def is_text(name: str) -> bool:
    """Whether a file's name is UTF-8; archives made on other systems leave names that are not."""
    return writable(name) == name


def writable(name: str) -> str:
    """A file's name as JSON and logs can bear it: bytes that are no UTF-8 become escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def in_file_name(name: str) -> str:
    """A model's name, or a digest of one that takes too many bytes, for the beginning of a file's name."""
    data = name.encode()
    return name if len(data) <= MOST_FILE_BYTES else hashlib.sha256(data).hexdigest()[:32]


def _kind(character: str) -> str:
    """The first letter of a character's category: L for letters, M for marks, N for digits and other numbers."""
    return unicodedata.category(character)[0]
