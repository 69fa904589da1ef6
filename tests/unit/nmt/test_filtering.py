from collections import Counter

import numpy as np

from nmt.prepare.filtering import PairRules, SeenHashes


def test_the_first_reason_to_drop_a_pair_is_counted():
    rules = PairRules(max_length=30, max_ratio=3, deduplicate=False)
    dropped = Counter()
    kept = rules.kept(np.array([0, 31, 10, 9, 5, 30]), np.array([0, 0, 31, 2, 5, 9]), dropped)
    assert kept.tolist() == [False, False, False, True, True, False]
    assert dropped == {"empty": 2, "too_long": 1, "ratio": 1}
    assert list(rules.reasons) == list(dropped)


def test_seen_hashes_agree_with_a_set():
    draw = np.random.default_rng(3)
    seen, known = SeenHashes(), set()
    for _ in range(40):
        hashes = draw.integers(0, 500, size=int(draw.integers(0, 30))).astype(np.uint64)
        expected = []
        for one in hashes.tolist():
            expected.append(one not in known)
            known.add(one)
        assert seen.add(hashes).tolist() == expected
