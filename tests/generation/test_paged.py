"""Blocks: never two texts' by mistake, never lost; and keys that come back as they were written."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from groundup.generation.paged import BlockPool, PagedCache, PagedPast, block_name

N_BLOCKS = 6


class Blocks(RuleBasedStateMachine):
    """Any order of taking, filling, sharing and releasing, against a plain account of who holds what
    and what was written."""

    def __init__(self):
        super().__init__()
        self.pool = BlockPool(N_BLOCKS)
        self.held: list[int] = []  # a block as often as it is held
        self.full: set[int] = set()
        self.named: dict[bytes, int] = {}  # the block that was published first, while it is there

    @rule()
    def take(self):
        block = self.pool.take()
        if block is None:
            assert set(self.held) == set(range(N_BLOCKS))
            return
        assert block not in self.held
        self.held.append(block)
        self.full.discard(block)
        self.named = {name: other for name, other in self.named.items() if other != block}

    @precondition(lambda self: self.held)
    @rule(data=st.data(), name=st.integers(0, 9))
    def fill(self, data: st.DataObject, name: int):
        block = data.draw(st.sampled_from(self.held))
        if block not in self.full:  # a full block is never filled again
            self.full.add(block)
            self.named.setdefault(bytes([name]), block)
            self.pool.publish(block, bytes([name]))

    @rule(name=st.integers(0, 9))
    def share(self, name: int):
        block = self.pool.share(bytes([name]))
        assert block == self.named.get(bytes([name]))
        if block is not None:
            self.held.append(block)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject):
        block = data.draw(st.sampled_from(self.held))
        self.held.remove(block)
        self.pool.release(block)

    @invariant()
    def all_blocks_are_accounted_for(self):
        assert self.pool.holders == [self.held.count(block) for block in range(N_BLOCKS)]
        assert self.pool.available == N_BLOCKS - len(set(self.held))
        assert self.pool.shared == sum(self.held.count(block) > 1 for block in range(N_BLOCKS))

    def teardown(self):
        for block in self.held:
            self.pool.release(block)
        taken = {self.pool.take() for _ in range(N_BLOCKS)}
        assert taken == set(range(N_BLOCKS)) and self.pool.take() is None


TestBlocks = Blocks.TestCase
TestBlocks.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_blocks_that_were_unused_longest_are_forgotten_first():
    pool = BlockPool(3)
    blocks = [pool.take() for _ in range(3)]
    for block, name in zip(blocks, (b"a", b"b", b"c"), strict=True):
        pool.publish(block, name)
    for block in (blocks[1], blocks[0], blocks[2]):
        pool.release(block)
    assert pool.share(b"b") == blocks[1]  # used again, so no longer the oldest
    pool.release(blocks[1])
    assert pool.take() == blocks[0]
    assert pool.share(b"a") is None and pool.share(b"c") == blocks[2]


def test_a_name_depends_on_all_that_came_before():
    first, other = block_name(b"", [1, 2]), block_name(b"", [1, 3])
    assert block_name(first, [4, 5]) != block_name(other, [4, 5])
    assert block_name(first, [4, 5]) == block_name(block_name(b"", [1, 2]), [4, 5])
    assert block_name(b"", [1, 23]) != block_name(b"", [12, 3])


@settings(max_examples=30, deadline=None)
@given(
    lengths=st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=4), min_size=1, max_size=3),
    block_size=st.integers(1, 4),
    window=st.one_of(st.none(), st.integers(1, 6)),
)
def test_keys_come_back_as_they_were_written(lengths, block_size: int, window: int | None):
    cache = PagedCache(n_blocks=60, block_size=block_size)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0)).tolist()
    tables = [[order.pop() for _ in range(-(-sum(pieces) // block_size))] for pieces in lengths]
    written = [torch.randn(sum(pieces), 2, 3) for pieces in lengths]
    for turn in range(max(map(len, lengths))):
        rows = [row for row, pieces in enumerate(lengths) if turn < len(pieces)]
        known = [sum(lengths[row][:turn]) for row in rows]
        new = [lengths[row][turn] for row in rows]
        past = PagedPast(cache, [tables[row] for row in rows], known, new, new, torch.device("cpu"))
        k = torch.full((len(rows), past.time, 2, 3), torch.nan)  # padding
        for i, row in enumerate(rows):
            k[i, past.time - new[i] :] = written[row][known[i] : known[i] + new[i]]
        keys, values = past.update(0, k.transpose(1, 2), -k.transpose(1, 2), window)
        assert not keys.isnan().any()
        for i, row in enumerate(rows):
            end = known[i] + new[i]
            seen = end if window is None else min(end, new[i] + window - 1)
            expected = written[row][end - seen : end].transpose(0, 1)
            assert torch.equal(keys[i, :, keys.shape[2] - seen :], expected)
            assert torch.equal(values[i, :, keys.shape[2] - seen :], -expected)


def test_a_row_with_fewer_new_tokens_than_others_asks_for_no_page_that_is_gone():
    cache = PagedCache(n_blocks=10, block_size=2)
    tables = [[0, 1, 2, 3, 4, 5, 6], [7, 8, 9]]
    # Of twelve known tokens, a window of three reaches the last two; the other text is a prompt of six.
    past = PagedPast(cache, tables, [12, 0], [1, 6], [12, 6], torch.device("cpu"))
    k = torch.randn(2, 2, 6, 3)
    past.update(0, k, k, window=3)
    assert set(cache.pages) == {5, 6, 7, 8, 9}
