import torch

from obliviate.data.samples import Samples
from obliviate.data.sources import Data, load_data
from obliviate.data.vocabulary import Vocabulary
from obliviate.training.defaults import recipe_for, usual
from obliviate.training.recipe import Recipe


def images(channels: int, height: int, width: int) -> Data:
    x, y = torch.rand(8, channels, height, width), torch.arange(8) % 4
    samples = Samples.from_tensors(x, y)
    return Data("pictures", 4, samples, samples, None, "0")


def texts(kind: str, classes: int) -> Data:
    x = torch.randint(2, 6, (8, 5), generator=torch.Generator().manual_seed(0))
    samples = Samples.from_tensors(x, x if kind == "causal-lm" else torch.arange(8) % classes)
    vocabulary = Vocabulary(("<pad>", "<unk>", "a", "b", "c", "d"), "word")
    return Data("texts", classes, samples, samples, None, "0", kind=kind, vocabulary=vocabulary)


def test_shipped_images_get_the_recipe_that_is_the_default():
    assert recipe_for(load_data("fashion_mnist_5k")) == Recipe()


def test_images_tell_channels_size_and_classes():
    recipe = recipe_for(images(3, 12, 20))
    assert (recipe.model, recipe.model_options) == ("small_cnn", {"classes": 4, "channels": 3, "size": [12, 20]})
    assert recipe.build(seed=0)(torch.rand(2, 3, 12, 20)).shape == (2, 4)


def test_a_network_for_cifar_keeps_the_options_that_are_its_own():
    assert recipe_for(images(3, 32, 32), model="resnet8").model_options == {"classes": 4}
    assert recipe_for(images(1, 8, 8), model="mlp").model_options == {"features": 64, "classes": 4}


def test_rows_get_a_perceptron_with_as_many_outputs_as_there_are_targets():
    recipe = recipe_for(load_data("diabetes"))
    assert (recipe.model, recipe.model_options) == ("mlp", {"features": 11, "classes": 1})


def test_texts_get_a_transformer_and_what_trains_it():
    recipe = recipe_for(texts("classification", 3))
    assert (recipe.model, recipe.optimizer) == ("text_transformer", "adamw")
    assert recipe.model_options == {"classes": 3, "vocabulary": 6, "length": 5}
    assert usual(texts("causal-lm", 6)) == "causal_transformer"
    assert recipe_for(texts("causal-lm", 6)).build(seed=0)(torch.ones(2, 5).long()).shape == (2, 5, 6)


def test_what_is_given_goes_before_what_is_found():
    recipe = recipe_for(
        texts("classification", 3), options={"width": 16, "length": 9}, optimizer="sgd", learning_rate=0.1
    )
    assert recipe.model_options == {"classes": 3, "vocabulary": 6, "length": 9, "width": 16}
    assert (recipe.optimizer, recipe.learning_rate, recipe.precision) == ("sgd", 0.1, "float32")


def test_the_options_of_a_function_of_ones_own_are_left_alone():
    recipe = recipe_for(images(3, 8, 8), model="torch.nn:Identity")
    assert recipe.model_options == {}
