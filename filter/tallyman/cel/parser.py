"""Tokens to a syntax tree, by precedence climbing (cel-spec langdef.md, "Syntax")."""

from typing import Final, final

from tallyman.cel.errors import CelSyntaxError
from tallyman.cel.lexer import DOUBLE, END, IDENT, INT, LITERAL, OPERATOR, QUOTED, RESERVED, Token, tokenize
from tallyman.cel.syntax import (
    Binary,
    Call,
    Conditional,
    Expr,
    Ident,
    Index,
    ListExpr,
    Literal,
    Logical,
    MapExpr,
    MessageExpr,
    Select,
    Unary,
    qualified_name,
)
from tallyman.cel.values import INT_MAX, INT_MIN

# Parsing, compiling and evaluating recurse: both limits keep them within the stack of a Wasm VM and of plain CPython.
MAX_NESTING: Final = 64
MAX_DEPTH: Final = 200

_PRECEDENCE: Final = {
    "||": 1,
    "&&": 2,
    "==": 3,
    "!=": 3,
    "<": 3,
    "<=": 3,
    ">": 3,
    ">=": 3,
    "in": 3,
    "+": 4,
    "-": 4,
    "*": 5,
    "/": 5,
    "%": 5,
}


def parse(source: str) -> Expr:
    """The syntax tree of `source`. Raises CelSyntaxError."""
    return _Parser(source).parse()


@final
class _Parser:
    def __init__(self, source: str) -> None:
        self.source = source
        self.tokens: list[Token] = tokenize(source)
        self.index = 0
        self.token: Token = self.tokens[0]
        self.nesting = 0

    def parse(self) -> Expr:
        expr = self._expression()
        if self.token.kind != END:
            raise self._unexpected("an operator or the end of the expression")
        return expr

    def _expression(self) -> Expr:
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            raise self._error(f"expression is nested more than {MAX_NESTING} levels deep")
        expr = self._binary(1)
        if self._at("?"):
            position = self.token.position
            self._advance()
            truthy = self._binary(1)
            self._expect(":")
            falsy = self._expression()
            expr = self._bounded(Conditional(position, expr, truthy, falsy))
        self.nesting -= 1
        return expr

    def _binary(self, minimum: int) -> Expr:
        left = self._unary()
        while self.token.kind == OPERATOR:
            operator = self.token.text
            precedence = _PRECEDENCE.get(operator, 0)
            if precedence < minimum:
                break
            position = self.token.position
            self._advance()
            right = self._binary(precedence + 1)
            if precedence > 2:
                left = self._bounded(Binary(position, operator, left, right))
            elif isinstance(left, Logical) and left.operator == operator and left.open:
                left.append(right)
            else:
                left = self._bounded(Logical(position, operator, [left, right]))
        if isinstance(left, Logical):
            left.open = False
        return left

    def _unary(self) -> Expr:
        if not (self._at("!") or self._at("-")):
            return self._member(self._primary(False))
        operators: list[Token] = []
        while self._at("!") or self._at("-"):
            if operators and operators[0].text != self.token.text:
                raise self._unexpected(f"an operand (write {operators[0].text}({self.token.text}x) with parentheses)")
            operators.append(self.token)
            self._advance()
        negative = operators[-1].text == "-" and (self.token.kind == INT or self.token.kind == DOUBLE)
        if negative:
            operators.pop()
        expr = self._member(self._primary(negative))
        # Pairs cancel in value, not in type checks: !!x must still refuse what is not a bool.
        for operator in reversed(operators):
            expr = self._bounded(Unary(operator.position, operator.text, expr))
        return expr

    def _primary(self, negative: bool) -> Expr:
        token = self.token
        position = token.position
        if token.kind == INT or token.kind == DOUBLE:
            self._advance()
            return Literal(position, self._number(token, negative))
        if token.kind == LITERAL:
            self._advance()
            return Literal(position, token.value)
        if token.kind == IDENT:
            return self._root(False)
        if token.kind == OPERATOR:
            if token.text == "(":
                self._advance()
                expr = self._expression()
                self._expect(")")
                return expr
            if token.text == "[":
                self._advance()
                elements: list[Expr] = []
                optional: list[bool] = []
                while not self._at("]"):
                    optional.append(self._accept("?"))
                    elements.append(self._expression())
                    if not self._accept(","):
                        break
                self._expect("]")
                return self._bounded(ListExpr(position, elements, optional))
            if token.text == "{":
                return self._map()
            if token.text == ".":
                self._advance()
                return self._root(True)
        raise self._unexpected("an operand")

    def _number(self, token: Token, negative: bool) -> object:
        value = token.value
        if isinstance(value, float):
            return -value if negative else value
        assert isinstance(value, int)
        if negative:
            value = -value
        if not INT_MIN <= value <= INT_MAX:
            message = f"{token.text} is out of range for int (at most {INT_MAX})"
            raise CelSyntaxError(message, self.source, token.position)
        return value

    def _root(self, absolute: bool) -> Expr:
        token = self.token
        if token.kind != IDENT:
            raise self._unexpected("a name")
        if token.text in RESERVED:
            raise self._error(f"'{token.text}' is a reserved word")
        self._advance()
        if self._accept("("):
            return self._bounded(Call(token.position, None, token.text, self._arguments()))
        return Ident(token.position, token.text, absolute)

    def _member(self, expr: Expr) -> Expr:
        while self.token.kind == OPERATOR:
            position = self.token.position
            if self._accept("."):
                name_token = self.token
                field = self._field()
                if name_token.kind == IDENT and self._accept("("):
                    expr = self._bounded(Call(name_token.position, expr, field, self._arguments()))
                else:
                    expr = self._bounded(Select(position, expr, field, False))
            elif self._accept(".?"):
                expr = self._bounded(Select(position, expr, self._field(), True))
            elif self._accept("["):
                optional = self._accept("?")
                key = self._expression()
                self._expect("]")
                expr = self._bounded(Index(position, expr, key, optional))
            elif self._at("{"):
                expr = self._message(expr)
            else:
                break
        return expr

    def _field(self) -> str:
        token = self.token
        if token.kind != IDENT and token.kind != QUOTED:
            raise self._unexpected("a field name")
        self._advance()
        return token.text

    def _arguments(self) -> list[Expr]:
        arguments: list[Expr] = []
        if not self._at(")"):
            arguments.append(self._expression())
            while self._accept(","):
                arguments.append(self._expression())
        self._expect(")")
        return arguments

    def _map(self) -> Expr:
        position = self.token.position
        self._advance()
        keys: list[Expr] = []
        values: list[Expr] = []
        optional: list[bool] = []
        while not self._at("}"):
            optional.append(self._accept("?"))
            keys.append(self._expression())
            self._expect(":")
            values.append(self._expression())
            if not self._accept(","):
                break
        self._expect("}")
        return self._bounded(MapExpr(position, keys, values, optional))

    def _message(self, type_expr: Expr) -> Expr:
        name = qualified_name(type_expr)
        if name is None:
            raise self._unexpected("an operator (a message is written pkg.Type{field: value})")
        self._advance()
        fields: list[str] = []
        values: list[Expr] = []
        optional: list[bool] = []
        while not self._at("}"):
            optional.append(self._accept("?"))
            position = self.token.position
            field = self._field()
            if field in fields:
                raise CelSyntaxError(f"field '{field}' is set twice", self.source, position)
            fields.append(field)
            self._expect(":")
            values.append(self._expression())
            if not self._accept(","):
                break
        self._expect("}")
        return self._bounded(MessageExpr(type_expr.position, name, fields, values, optional))

    def _advance(self) -> None:
        self.index += 1
        self.token = self.tokens[self.index]

    def _at(self, operator: str) -> bool:
        return self.token.kind == OPERATOR and self.token.text == operator

    def _accept(self, operator: str) -> bool:
        if self.token.kind == OPERATOR and self.token.text == operator:
            self._advance()
            return True
        return False

    def _expect(self, operator: str) -> None:
        if not self._accept(operator):
            raise self._unexpected(f"'{operator}'")

    def _bounded(self, expr: Expr) -> Expr:
        if expr.depth > MAX_DEPTH:
            message = f"more than {MAX_DEPTH} operations depend on each other here; split the expression"
            raise CelSyntaxError(message, self.source, expr.position)
        return expr

    def _unexpected(self, expected: str) -> CelSyntaxError:
        found = self.token.text
        return self._error(f"expected {expected}, found {found if self.token.kind == END else repr(found)}")

    def _error(self, message: str) -> CelSyntaxError:
        return CelSyntaxError(message, self.source, self.token.position)
