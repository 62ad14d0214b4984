"""Commands in messages: they run as pasted, and are read again as a shell reads them."""

import os
import subprocess

from hypothesis import example, given, settings
from hypothesis import strategies as st

from regexp.utils.messages import join_words, split_command

_WORDS = st.text(st.sampled_from("ab 0'\"\\\\$#=\t\n\x85\u2028é图\udce9\udc80"), max_size=8)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(words=st.lists(_WORDS, max_size=4))
@example(words=["regexp", "", "a b", "Bob's", "a $'b'", "caf\udce9's", "$'x'", "back\\slash\n\\042"])
def test_the_words_of_a_command_are_those_that_it_was_made_from(words: list[str]) -> None:
    assert split_command(join_words(words)) == words


def test_a_shell_reads_a_command_in_the_same_way() -> None:
    words = ["", "a b", "Bob's", "a $'b'", "caf\udce9's", "$'x'", "back\\slash\n\\042", '"', "图\u2028", "x\\"]
    script = b"printf '%s\\0' " + os.fsencode(join_words(words))
    output = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    assert [os.fsdecode(word) for word in output.split(b"\0")[:-1]] == words
