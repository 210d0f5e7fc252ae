"""Source text to tokens (cel-spec langdef.md, "Syntax")."""

import re
from typing import Final, final

from tallyman.cel.errors import CelSyntaxError
from tallyman.cel.values import INT_MAX, UINT_MAX, UInt

END: Final = 0
IDENT: Final = 1
QUOTED: Final = 2  # `a field name in backticks`
LITERAL: Final = 3  # null, booleans, uint, double, string, bytes: the value is in `Token.value`
INT: Final = 4  # kept apart: -9223372036854775808 is one literal although its digits alone overflow
DOUBLE: Final = 5
OPERATOR: Final = 6

MAX_SOURCE: Final = 65536

RESERVED: Final = frozenset(
    (
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    )
)

# Compiled at the first expression, and kept by `re`: it would be a twentieth of a VM's start.
_TOKEN: Final = r"""
    (?P<space> (?: [ \t\r\n\f]+ | //[^\n]* )+ )
    | (?P<double> [0-9]* \. [0-9]+ (?: [eE][+-]?[0-9]+ )? | [0-9]+ [eE][+-]?[0-9]+ )
    | (?P<int> (?: 0[xX][0-9a-fA-F]+ | [0-9]+ ) [uU]? )
    | (?P<raw> (?: [rR][bB]? | [bB][rR] )
        (?: \"\"\" .*? \"\"\" | ''' .*? ''' | " (?!"") [^"\r\n]* " | ' (?!'') [^'\r\n]* ' ) )
    | (?P<string> [bB]?
        (?: \"\"\" (?: [^\\] | \\. )*? \"\"\" | ''' (?: [^\\] | \\. )*? '''
          | " (?!"") (?: [^"\\\r\n] | \\[^\r\n] )* " | ' (?!'') (?: [^'\\\r\n] | \\[^\r\n] )* '
          | "" | '' ) )
    | (?P<ident> [_a-zA-Z][_a-zA-Z0-9]* )
    | (?P<quoted> `[-_a-zA-Z0-9./ ]+` )
    | (?P<operator> \.\? | && | \|\| | [=!<>]= | [-+*/%!<>?:.,()\[\]{}] )
    """
_GLUED: Final = re.compile(r"[_a-zA-Z0-9]")

_SIMPLE_ESCAPES: Final = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    "?": "?",
    '"': '"',
    "'": "'",
    "`": "`",
}
_HEX_LENGTHS: Final = {"x": 2, "X": 2, "u": 4, "U": 8}
_HEX_DIGITS: Final = frozenset("0123456789abcdefABCDEF")


@final
class Token:
    """`position` is the offset of the first character; `value` is set for LITERAL, INT and DOUBLE."""

    def __init__(self, kind: int, text: str, value: object, position: int) -> None:
        self.kind = kind
        self.text = text
        self.value = value
        self.position = position


def tokenize(source: str) -> list[Token]:
    """All tokens of `source`, the last one of kind END. Raises CelSyntaxError."""
    if len(source) > MAX_SOURCE:
        raise CelSyntaxError(f"expression of {len(source)} characters, at most {MAX_SOURCE} are allowed", source, 0)
    try:
        source.encode()
    except UnicodeEncodeError as error:
        raise CelSyntaxError("half of a surrogate pair is no character", source, error.start) from None
    token = re.compile(_TOKEN, re.VERBOSE | re.DOTALL)
    tokens: list[Token] = []
    position = 0
    end = len(source)
    while position < end:
        match = token.match(source, position)
        if match is None:
            raise CelSyntaxError(_explain(source, position), source, position)
        group = match.lastgroup
        text = match.group()
        if group != "space":
            tokens.append(_token(source, group, text, position))
            if (group == "int" or group == "double") and _GLUED.match(source, match.end()) is not None:
                raise CelSyntaxError(f"a number must end before {source[match.end()]!r}", source, match.end())
        position = match.end()
    tokens.append(Token(END, "end of expression", None, end))
    return tokens


def _token(source: str, group: str | None, text: str, position: int) -> Token:
    if group == "ident":
        if text == "true":
            return Token(LITERAL, text, True, position)
        if text == "false":
            return Token(LITERAL, text, False, position)
        if text == "null":
            return Token(LITERAL, text, None, position)
        if text == "in":
            return Token(OPERATOR, text, None, position)
        return Token(IDENT, text, None, position)
    if group == "operator":
        return Token(OPERATOR, text, None, position)
    if group == "string":
        return Token(LITERAL, text, _string(source, text, position), position)
    if group == "raw":
        return Token(LITERAL, text, _raw_string(text), position)
    if group == "int":
        return _integer(source, text, position)
    if group == "double":
        return Token(DOUBLE, text, float(text), position)
    return Token(QUOTED, text[1:-1], None, position)


def _integer(source: str, text: str, position: int) -> Token:
    if len(text) > 24:
        raise CelSyntaxError("integer literal out of range", source, position)
    digits = text.rstrip("uU")
    number = int(digits, 16) if digits[:2] in ("0x", "0X") else int(digits, 10)
    if len(digits) != len(text):
        if number > UINT_MAX:
            raise CelSyntaxError(f"{text} is out of range for uint (at most {UINT_MAX})", source, position)
        return Token(LITERAL, text, UInt(number), position)
    if number > INT_MAX + 1:
        raise CelSyntaxError(f"{text} is out of range for int (at most {INT_MAX})", source, position)
    return Token(INT, text, number, position)


def _unquote(text: str) -> tuple[int, str]:
    """The offset of the content, and the content."""
    start = 0
    while text[start] not in "\"'":
        start += 1
    width = 3 if len(text) - start >= 6 and text[start + 1] == text[start] and text[start + 2] == text[start] else 1
    return start + width, text[start + width : -width]


def _raw_string(text: str) -> object:
    start, content = _unquote(text)
    return content.encode() if "b" in text[:2].lower() and start > 1 and text[1] in "bBrR" else content


def _string(source: str, text: str, position: int) -> object:
    is_bytes = text[0] in "bB"
    start, content = _unquote(text)
    if "\\" not in content:
        return content.encode() if is_bytes else content
    parts: list[str] = []
    octets: list[bytes] = []
    index = 0
    while True:
        slash = content.find("\\", index)
        plain = content[index : slash if slash >= 0 else len(content)]
        parts.append(plain)
        octets.append(plain.encode())
        if slash < 0:
            break
        code, index = _escape(source, content, slash, position + start, is_bytes)
        if is_bytes:
            octets.append(bytes((code,)))
        else:
            parts.append(chr(code))
    return b"".join(octets) if is_bytes else "".join(parts)


def _escape(source: str, content: str, slash: int, offset: int, is_bytes: bool) -> tuple[int, int]:
    """The code (an octet in a bytes literal, else a code point) of the escape at `slash`, and the index after it."""
    letter = content[slash + 1]
    simple = _SIMPLE_ESCAPES.get(letter)
    if simple is not None:
        return ord(simple), slash + 2
    if letter in _HEX_LENGTHS and not (is_bytes and letter in "uU"):
        stop = slash + 2 + _HEX_LENGTHS[letter]
        digits = content[slash + 2 : stop]
        if len(digits) == _HEX_LENGTHS[letter] and _HEX_DIGITS.issuperset(digits):
            code = int(digits, 16)
            if code < 0xD800 or 0xDFFF < code <= 0x10FFFF:
                return code, stop
            raise CelSyntaxError(f"\\{letter}{digits} is not a Unicode character", source, offset + slash)
    elif letter in "0123":
        digits = content[slash + 1 : slash + 4]
        if len(digits) == 3 and digits[1] in "01234567" and digits[2] in "01234567":
            return int(digits, 8), slash + 4
    kind = "bytes" if is_bytes else "string"
    raise CelSyntaxError(f"invalid escape \\{letter} in {kind} literal", source, offset + slash)


def _explain(source: str, position: int) -> str:
    character = source[position]
    if character in "\"'":
        return "string is not closed"
    if character == "`":
        return "a name in backticks must be closed and hold only letters, digits and _ - . / or spaces"
    if character == "=":
        return "'=' is no operator; did you mean '=='?"
    if character in "&|":
        return f"'{character}' is no operator; did you mean '{character * 2}'?"
    return f"unexpected character {character!r}"
