import json

import numpy as np

from obliviate.data.features import Features, Targets


def test_descriptions_are_written_as_json():
    low, high = np.array([-1.5, 0], dtype=np.float32), np.array([2, 1], dtype=np.float32)
    features = Features(("age", "sex=male"), continuous=np.array([True, False]), low=low, high=high)
    assert len(features) == 2
    assert json.loads(json.dumps(features.to_dict())) == {
        "names": ["age", "sex=male"],
        "continuous": [True, False],
        "low": [-1.5, 0.0],
        "high": [2.0, 1.0],
    }
    assert json.loads(json.dumps(Targets(("no", "yes")).to_dict())) == {"names": ["no", "yes"]}
