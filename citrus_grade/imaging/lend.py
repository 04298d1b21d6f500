"""Arrays handed on without counting who holds them.

Numba counts the holders of an array in one atomic instruction wherever a function gets it from a named tuple or takes a slice of
it, and in another when it is done: some hundred times a view, and the processor does nothing beside one. What a caller holds for
as long as the call lasts needs no counting.
"""

from typing import Any

from numba import types
from numba.extending import intrinsic


def _lend(typing_context: Any, value: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _uncounted(context, builder, signature.args[0], values[0])

    return value(value), codegen


def _uncounted(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = array.meminfo.type(None)
        return array._getvalue()
    if isinstance(kind, types.NamedTuple | types.Tuple | types.NamedUniTuple | types.UniTuple):
        for k, item in enumerate(kind.types):
            part = _uncounted(context, builder, item, builder.extract_value(value, k))
            value = builder.insert_value(value, part, k)
    return value


lend: Any = intrinsic(_lend)
"""Return an array, or a tuple of arrays and numbers, whose holders are not counted.

The caller must hold ``value`` itself until nothing uses the result any more: a parameter is held until its function returns.
"""
