"""An estimator in the manner of scikit-learn that forgets rows: `fit`, `unlearn`, `score`."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import obliviate as ob


def main(*, epochs: int = 40) -> dict[str, tuple[float, float]]:
    images, labels = load_digits(return_X_y=True)  # your table: one row a sample, columns scaled
    x, x_test, y, y_test = train_test_split(images / 16, labels, random_state=0)
    names = [f"person-{row}" for row in range(len(x))]  # left out, the ids are the numbers of the rows

    model = ob.UnlearningClassifier(hidden=(64, 64), epochs=epochs, random_state=0).fit(x, y, ids=names)
    found = {"fit": (model.score(x[:100], y[:100]), model.score(x_test, y_test))}

    model.unlearn(names[:60])  # by AMUN; the 60 rows are dropped from the estimator, too
    model.unlearn(names[60:100], method=ob.AMUN(epochs=4))  # a later request never trains on what was forgotten
    found["unlearned"] = model.score(x[:100], y[:100]), model.score(x_test, y_test)

    model.fit(x[100:], y[100:])
    found["retrained"] = model.score(x[:100], y[:100]), model.score(x_test, y_test)
    for name, (forgotten, test) in found.items():
        print(f"{name:10} accuracy on the 100 rows {100 * forgotten:.1f} %, on test rows {100 * test:.1f} %")
    return found


if __name__ == "__main__":
    main()
