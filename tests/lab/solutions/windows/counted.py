import math


def windows_step_by_step(ids, context_length):
    count = math.ceil((len(ids) - 1) / context_length)
    for n in range(count):
        first, last = n * context_length, min((n + 1) * context_length, len(ids) - 1)
        yield ids[first:last], ids[first + 1 : last + 1]
