"""Nets that Caffe's Net and Layer refuse before any shape is known, and nets that look as wrong but are not."""

from __future__ import annotations

from tests.network.caffe.layers.caffe_cases import data, layer

ROWS = data(2, 3)
LABELLED = (
    'layer { name: "data" type: "Input" top: "data" top: "label" input_param { shape { dim: 2 dim: 3 } '
    "shape { dim: 2 } } }\n"
)


def fc(parameters: str = "", fields: str = "", top: str = "fc", weight: str = "constant") -> str:
    """An InnerProduct on the data; `fields` are those of the layer itself."""
    filler = f'weight_filler {{ type: "{weight}" }}' if weight else ""
    return layer("InnerProduct", f"{fields} inner_product_param {{ num_output: 2 {filler} {parameters} }}", tops=top)


def of_each(kind: str, parameters: str) -> str:
    """A layer with parameters on the rows."""
    return ROWS + layer(kind, parameters)


def dummy(tops: str, fields: str) -> str:
    """A DummyData layer, and a layer that reads its first top."""
    return layer("DummyData", f"dummy_data_param {{ {fields} }}", "", tops, "made") + layer(
        "TanH", "", tops.split()[0], "out"
    )


TWO_PARTS = "shape { dim: 2 dim: 3 } shape { dim: 4 }"
SHARED = 'param { name: "kernel" %s }'

# name -> (prototxt, pattern of the error)
ABORTS = {
    "propagate_down of one bottom in three": (
        ROWS + layer("Eltwise", "propagate_down: false", "data data data"),
        "1 propagate_down entries for 3 bottoms",
    ),
    "propagate_down of a source": (
        ROWS.replace("input_param", "propagate_down: true input_param") + layer("TanH"),
        "1 propagate_down entries for 0 bottoms",
    ),
    "propagate_down of a loss": (
        LABELLED + fc() + layer("SoftmaxWithLoss", "propagate_down: true", "fc label", "loss"),
        "1 propagate_down entries for 2 bottoms",
    ),
    "loss weights of a loss without a top": (
        LABELLED + fc() + layer("SoftmaxWithLoss", "loss_weight: 1 loss_weight: 2", "fc label", "", "loss"),
        "2 loss weights for 1 tops",
    ),
    "loss weights of Accuracy": (
        LABELLED + fc() + layer("Accuracy", "loss_weight: 0 loss_weight: 0", "fc label", "acc"),
        "2 loss weights for 1 tops",
    ),
    "param of an input": (
        ROWS.replace("input_param", "param { } input_param") + layer("TanH"),
        "1 param entries for 0",
    ),
    "param of a loss": (
        LABELLED + fc() + layer("HingeLoss", "param { }", "fc label", "loss"),
        "1 param entries for 0",
    ),
    "a third param": (ROWS + fc(fields="param { } param { } param { }"), "3 param entries for 2"),
    "a third param in a part for the loss": (
        LABELLED
        + fc()
        + layer("InnerProduct", f"{'param { } ' * 3} inner_product_param {{ num_output: 2 }}", "label", "to")
        + layer("EuclideanLoss", "", "fc to", "loss"),
        "3 param entries for 2",
    ),
    "a second param of Scale": (of_each("Scale", "param { } param { }"), "2 param entries for 1"),
    "a param of a factor that is a bottom": (
        ROWS + layer("Scale", "param { } scale_param { axis: 0 }", "data data"),
        "1 param entries for 0",
    ),
    "a fourth param of BatchNorm": (of_each("BatchNorm", "param { lr_mult: 0 } " * 4), "4 param entries for 3"),
    "an Input without tops": ('layer { name: "none" type: "Input" }' + ROWS + layer("TanH"), "at least 1 tops"),
    "an Input with a bottom": (
        ROWS + 'layer { name: "more" type: "Input" bottom: "data" top: "more" }' + layer("TanH"),
        "takes no bottoms",
    ),
    "shapes of an Input with a label": (
        LABELLED.replace('top: "label"', 'top: "label" top: "weight"') + fc() + layer("HingeLoss", "", "fc label"),
        "2 shapes for 3 tops",
    ),
    "an unknown filler": (ROWS + fc(weight="ones"), "weight_filler: Caffe 1.0 has no filler 'ones'"),
    "a filler in capitals": (ROWS + fc(weight="Constant"), "no filler 'Constant'"),
    "a filler without a name": (ROWS + fc('weight_filler { type: "" }', weight=""), "no filler ''"),
    "an unknown filler of biases": (ROWS + fc('bias_filler { type: "ones" }'), "bias_filler: .*'ones'"),
    "an unknown filler of Scale": (of_each("Scale", 'scale_param { filler { type: "ones" } }'), "filler: .*'ones'"),
    "an unknown filler of Scale's bias": (
        of_each("Scale", 'scale_param { bias_term: true bias_filler { type: "ones" } }'),
        "bias_filler: .*'ones'",
    ),
    "an unknown filler of Bias": (of_each("Bias", 'bias_param { filler { type: "ones" } }'), "filler: .*'ones'"),
    "an unknown filler of PReLU": (of_each("PReLU", 'prelu_param { filler { type: "ones" } }'), "filler: .*'ones'"),
    "an unknown filler of Embed": (
        of_each("Embed", 'embed_param { num_output: 2 input_dim: 9 weight_filler { type: "ones" } }'),
        "weight_filler: .*'ones'",
    ),
    "an unknown filler of data": (dummy("a", 'shape { dim: 2 } data_filler { type: "ones" }'), "data_filler: .*'ones'"),
    "an unknown filler in a part for the loss": (
        LABELLED
        + fc()
        + layer("InnerProduct", 'inner_product_param { num_output: 2 weight_filler { type: "ones" } }', "label", "to")
        + layer("EuclideanLoss", "", "fc to", "loss"),
        "weight_filler: .*'ones'",
    ),
    "a constant that is sparse": (
        ROWS + fc("weight_filler { sparse: 1 }", weight=""),
        "constant filler takes no sparse",
    ),
    "more sparse numbers than outputs": (
        ROWS + fc('weight_filler { type: "gaussian" sparse: 3 }', weight=""),
        "sparse is 3",
    ),
    "a gaussian of no width": (ROWS + fc('weight_filler { type: "gaussian" std: 0 }', weight=""), "positive std"),
    "a uniform filler upside down": (
        ROWS + fc('weight_filler { type: "uniform" min: 3 max: 2 }', weight=""),
        "min 3 above max 2",
    ),
    "a bilinear filler of a matrix": (ROWS + fc(weight="bilinear"), "square kernel in four axes"),
    "fillers of data": (dummy("a b c", "shape { dim: 2 } data_filler { } data_filler { }"), "2 fillers for 3 tops"),
    "shapes of data": (dummy("a b c", TWO_PARTS), "needs shape once"),
    "no shape of data": (dummy("a", ""), "needs shape once"),
    "two forms of shapes of data": (dummy("a", "shape { dim: 2 } num: 2"), "shape excludes num"),
    "incomplete old shape of data": (dummy("a", "num: 2 channels: 3 height: 4"), "needs num, channels, height"),
    "two rates of one parameter": (
        ROWS + fc(fields=SHARED % "lr_mult: 1") + fc(fields=SHARED % "lr_mult: 2", top="more"),
        "'kernel' with lr_mult 2, but it has 1",
    ),
    "two decays of one parameter": (
        ROWS + fc(fields=SHARED % "decay_mult: 0") + fc(fields=SHARED % "decay_mult: 1", top="more"),
        "'kernel' with decay_mult 1, but it has 0",
    ),
    "statistics that learn": (of_each("BatchNorm", "param { lr_mult: 1 }"), "lr_mult 0"),
    "Accuracy without labels": (LABELLED + fc() + layer("Accuracy", "", "fc", "acc"), "2 bottoms.*names 1"),
    "a contrastive loss without labels": (
        LABELLED + fc() + layer("ContrastiveLoss", "", "fc fc", "loss"),
        "3 bottoms.*names 2",
    ),
    "Silence that speaks": (LABELLED + fc() + layer("Silence", "", "label", "said"), "takes no tops"),
    "images without a top for labels": (
        layer("MemoryData", "memory_data_param { batch_size: 1 channels: 3 height: 1 width: 1 }", "", "data") + fc(),
        "2 tops.*names 1",
    ),
    **{
        f"{kind} without labels": (LABELLED + fc() + layer(kind, "", "fc", "loss"), "2 (to 3 )?bottoms.*names 1")
        for kind in (
            *("EuclideanLoss", "HingeLoss", "InfogainLoss", "MultinomialLogisticLoss", "SigmoidCrossEntropyLoss"),
            "SoftmaxWithLoss",
        )
    },
}

# What Caffe loads, although a check that is too strict would not.
ACCEPTED = {
    "propagate_down of each bottom": ROWS + layer("Eltwise", "propagate_down: [true, false]", "data data"),
    "loss weight of a layer that is no loss": ROWS + layer("TanH", "loss_weight: 2"),
    "loss weight of a top that is not written": LABELLED
    + fc()
    + layer("SoftmaxWithLoss", "loss_weight: 2", "fc label", "", "loss"),
    "an unknown filler of a bias that is off": ROWS + fc('bias_term: false bias_filler { type: "ones" }'),
    "an unknown filler of another layer's message": ROWS
    + fc(fields='convolution_param { weight_filler { type: "ones" } }'),
    "an unknown filler where a bottom has the factors": ROWS
    + layer("Scale", 'scale_param { axis: 0 filler { type: "ones" } }', "data data"),
    "an unknown filler where the prototxt has the numbers": ROWS
    + fc("bias_term: false", "blobs { shape { dim: [2, 3] } data: [1, 2, 3, 4, 5, 6] }", weight="ones"),
    "nonsense in another phase": ROWS
    + fc()
    + layer("Nonsense", "include { phase: TRAIN } propagate_down: true", "nowhere"),
    "one rate of one parameter": ROWS
    + fc(fields=SHARED % "lr_mult: 2")
    + fc(fields=SHARED % "", top="more")
    + fc(fields=SHARED % "lr_mult: 2", top="third"),
    "as many params as blobs": ROWS
    + fc(fields="param { } param { }")
    + layer("Scale", "param { } param { } scale_param { bias_term: true }", tops="scaled")
    + layer("PReLU", "param { }", tops="sloped")
    + layer("BatchNorm", "param { lr_mult: 0 } param { lr_mult: 0 }", tops="normal"),
    "statistics with rates for all three": of_each("BatchNorm", "param { lr_mult: 1 } param { } param { }"),
    "a uniform filler of one number": ROWS + fc('weight_filler { type: "uniform" min: 2 max: 2 }', weight=""),
    "one shape for three tops of data": dummy("a b c", "shape { dim: 2 }"),
    "a bare input beside its Input layer": 'input: "data"\n' + ROWS + layer("TanH"),
    "a bare input that nothing reads": 'input: "data" input: "im_info"\n' + ROWS + layer("TanH"),
    "a bare input of another name": 'input: "image"\n' + ROWS + layer("TanH"),
    "a bare input in the old form": 'input: "d" layers { name: "m" type: DUMMY_DATA top: "d" dummy_data_param { '
    'shape { dim: 2 } } } layers { name: "out" type: RELU bottom: "d" top: "out" }',
    "a new layer beside the form of 2013": 'input: "data" input_dim: [1, 4, 1, 1] '
    'layers { layer { name: "r" type: "relu" } bottom: "data" top: "r" }' + layer("Softmax", "", "r", "prob"),
}
