"""The families of networks: one function for each network, which adds its layers to a builder.

Layer and blob names, order, strides and rounding are those of the deploy prototxts published for Caffe, so that
public weights fit.
"""
