"""Hyper-parameters of modules within modules are one flat list: names, defaults, ranges, values."""

import equinox as eqx
import pytest

from puzzlebox.errors import UsageError
from puzzlebox.fields import fill, param, params, part, replace, value_of


class Wheels(eqx.Module):
    size: float = param(1.0, "of each wheel", low=0.5)
    count: int = param(4, "how many", high=8)


class Car(eqx.Module):
    colour: str = param("red", "of the paint", choices=("red", "blue"))
    wheels: Wheels = part(Wheels, count=3)
    owner: str = "nobody"

    def __init__(self, **values):
        fill(self, values)


class Truck(Car):
    wheels: Wheels = part(Wheels, count=6, size=2.0)
    load: int = param(10, "tonnes")


def test_the_list_is_flat_and_has_the_defaults_of_the_outer_module():
    assert {name: p.default for name, p in params(Car).items()} == {"colour": "red", "size": 1.0, "count": 3}
    assert {name: p.default for name, p in params(Truck).items()} == {
        "colour": "red",
        "size": 2.0,
        "count": 6,
        "load": 10,
    }
    assert params(Truck)["count"].high == 8 and params(Truck)["count"].help == "how many"


def test_values_are_given_and_read_by_flat_names():
    car = Car(count=5, owner="me")
    assert (car.wheels, car.colour, car.owner) == (Wheels(1.0, 5), "red", "me")
    assert [value_of(car, name) for name in params(car)] == ["red", 1.0, 5]
    assert Car(wheels=Wheels(3.0, 2), count=1).wheels == Wheels(3.0, 1)  # a part, and one of its values
    assert replace(car, {"size": 0.5, "colour": "blue"}).wheels == Wheels(0.5, 5)
    assert replace(car, {"size": 0.5}).owner == "me"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"colour": "green"}, "colour is 'green'; choose one of: red, blue"),
        ({"size": 0.1}, "size is 0.1; it must be at least 0.5"),
        ({"count": 9}, "count is 9; it must be at most 8"),
        ({"sise": 1.0}, "unknown hyper-parameter of Car 'sise'; did you mean size"),
    ],
)
def test_wrong_values_are_refused_wherever_they_stand(values, message):
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        Car(**values)
