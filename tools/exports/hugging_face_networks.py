"""Small networks of transformers with random weights, and what its pipelines and processors make of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image, ImageOps

from tools.exports.making import Ask
from tools.exports.references import Answer, classes
from tools.exports.torch_networks import enliven, pictures, smooth

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
LABELS = ("berry", "leaf", "flower", "soil")
THRESHOLD = 0.5
COMMON = 320, 240  # pixels of the images that run as one batch
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
STAGES = {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 1, 1]}
RESNET = {"model_type": "resnet", "embedding_size": 16, **STAGES, "layer_type": "basic", "out_features": ["stage4"]}
SWIN = {"embed_dim": 16, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 2, 4], "window_size": 4}
DETR = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2, "num_queries": 20,
        "decoder_attention_heads": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
CLASSIFIER = {"classifier": (0.0, 2.0)}
BOXES = {"class_labels_classifier": (0.0, 2.0), "bbox_predictor.layers.2": (0.0, 0.7)}


@dataclass(frozen=True)
class Network:
    """`config` are arguments of transformers' class `<kind>Config`, `head` the further part of the model's class;
    `heads` are its last layers, with the mean and deviation of what they give."""

    task: str
    kind: str
    head: str
    processor: str
    config: Mapping[str, Any]
    processing: Mapping[str, Any] = field(default_factory=dict)
    heads: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def made(self) -> tuple[Any, Any]:
        """The model with lively weights, and its processor."""
        labels = {"id2label": dict(enumerate(LABELS)), "label2id": {name: at for at, name in enumerate(LABELS)}}
        config = getattr(transformers, f"{self.kind}Config")(**labels | dict(self.config))
        model = getattr(transformers, f"{self.kind}{self.head}")(config)
        processor = getattr(transformers, f"{self.processor}ImageProcessor")(**self.processing)
        for weights in model.parameters():
            if weights.ndim > 1:
                weights.data.normal_(0, weights[0].numel() ** -0.5)
        smooth(model)
        if type(model) is transformers.ViTModel:
            model.pooler = None  # an export of the bare network has none
        inputs = [processor(images=picture.resize(COMMON), return_tensors="pt") for picture in pictures()]
        together = {key: torch.cat([one[key] for one in inputs]) for key in inputs[0] if key.startswith("pixel_")}
        enliven(model, lambda: model(**together), {model.get_submodule(name): wanted
                                                   for name, wanted in self.heads.items()})
        return model, processor

    def asked(self, model: Any, processor: Any) -> Ask:
        """Asks the network itself, not its export."""
        return lambda path: ASKED[self.task](model, processor, ImageOps.exif_transpose(Image.open(path)).convert("RGB"))


def _outputs(model: Any, processor: Any, image: Image.Image) -> Any:
    with torch.no_grad():
        return model(**processor(images=image, return_tensors="pt"))


def _classes(model: Any, processor: Any, image: Image.Image) -> Answer:
    pipeline = transformers.pipeline("image-classification", model=model, image_processor=processor)
    return classes({found["label"]: found["score"] for found in pipeline(image, top_k=model.config.num_labels)})


def _objects(model: Any, processor: Any, image: Image.Image) -> Answer:
    [found] = processor.post_process_object_detection(_outputs(model, processor, image), threshold=THRESHOLD,
                                                      target_sizes=[image.size[::-1]])
    order = found["scores"].argsort(descending=True).tolist()
    labels = tuple(model.config.id2label[int(found["labels"][row])] for row in order)
    boxes = found["boxes"].numpy()[order].clip(0, np.array(image.size * 2))
    return Answer("object-detection", labels, found["scores"].numpy()[order], boxes,
                  asked={"threshold": THRESHOLD, "top_k": 300})


def _segments(model: Any, processor: Any, image: Image.Image) -> Answer:
    pipeline = transformers.pipeline("image-segmentation", model=model, image_processor=processor)
    found = pipeline(image, subtask="semantic")
    masks = np.array([np.asarray(segment["mask"]) > 0 for segment in found])
    return Answer("image-segmentation", tuple(segment["label"] for segment in found), masks=masks)


def _panoptic(model: Any, processor: Any, image: Image.Image) -> Answer:
    """With the processor's own limits: the pipeline has others."""
    [found] = processor.post_process_panoptic_segmentation(_outputs(model, processor, image), threshold=THRESHOLD,
                                                           target_sizes=[image.size[::-1]])
    numbers = found["segmentation"].numpy()
    masks = np.array([numbers == one["id"] for one in found["segments_info"]]).reshape(-1, *image.size[::-1])
    labels = tuple(model.config.id2label[one["label_id"]] for one in found["segments_info"])
    return Answer("image-segmentation", labels, masks=masks, asked={"threshold": THRESHOLD})


def _depths(model: Any, processor: Any, image: Image.Image) -> Answer:
    pipeline = transformers.pipeline("depth-estimation", model=model, image_processor=processor)
    return Answer("depth-estimation", values=pipeline(image)["predicted_depth"].squeeze().numpy())


def _features(model: Any, processor: Any, image: Image.Image) -> Answer:
    """The pooled vector where the model makes one, else the first token."""
    found = _outputs(model, processor, image)
    for name in ("image_embeds", "pooler_output"):
        if found.get(name) is not None:
            return Answer("image-feature-extraction", values=found[name][0].flatten().numpy())
    return Answer("image-feature-extraction", values=found.last_hidden_state[0, 0].numpy())


ASKED: Mapping[str, Callable[[Any, Any, Image.Image], Answer]] = {
    "image-classification": _classes, "object-detection": _objects, "semantic": _segments,
    "panoptic": _panoptic, "depth-estimation": _depths,
    "image-feature-extraction": _features}


def _classifier(kind: str, processor: str, config: Mapping[str, Any], processing: Mapping[str, Any] | None = None,
                heads: Mapping[str, tuple[float, float]] = CLASSIFIER) -> Network:
    return Network("image-classification", kind, "ForImageClassification", processor, config, processing or {}, heads)


def _detector(kind: str, processor: str, config: Mapping[str, Any], processing: Mapping[str, Any],
              heads: Mapping[str, tuple[float, float]] = BOXES) -> Network:
    return Network("object-detection", kind, "ForObjectDetection", processor, config, processing, heads)


def _depth(kind: str, processor: str, config: Mapping[str, Any], **processing: Any) -> Network:
    return Network("depth-estimation", kind, "ForDepthEstimation", processor, config, processing)


VIT = {**TINY, "image_size": 64, "patch_size": 16}
SQUARE = {"size": {"height": 64, "width": 64}}
NETWORKS: Mapping[str, Network] = {
    "vit": _classifier("ViT", "ViT", VIT, SQUARE),
    "vit-one": _classifier("ViT", "ViT", {**VIT, "id2label": {0: "berry"}, "label2id": {"berry": 0}}, SQUARE),
    "vit-regression": _classifier("ViT", "ViT", {**VIT, "id2label": {0: "sugar"}, "label2id": {"sugar": 0},
                                                 "problem_type": "regression"}, SQUARE),
    "vit-multi": _classifier("ViT", "ViT", {**VIT, "problem_type": "multi_label_classification"}, SQUARE),
    "deit": _classifier("DeiT", "DeiT", {**TINY, "image_size": 64, "patch_size": 16}, {
        "size": {"height": 72, "width": 72}, "crop_size": {"height": 64, "width": 64}}),
    "beit": _classifier("Beit", "Beit", {**VIT, "use_relative_position_bias": True}, {
        **SQUARE, "do_center_crop": False}),
    "resnet": _classifier("ResNet", "ConvNext", {"embedding_size": 16, **STAGES, "layer_type": "basic"}, {
        "size": {"shortest_edge": 224}, "crop_pct": 0.875, **IMAGENET}, {"classifier.1": (0.0, 2.0)}),
    "convnext": _classifier("ConvNext", "ConvNext", STAGES, {"size": {"shortest_edge": 384}}),
    "convnextv2": _classifier("ConvNextV2", "ConvNext", STAGES, {"size": {"shortest_edge": 224}, "crop_pct": 0.875}),
    "regnet": _classifier("RegNet", "ConvNext", {"embedding_size": 16, **STAGES, "groups_width": 16}, {
        "size": {"shortest_edge": 224}, "crop_pct": 0.875}, {"classifier.1": (0.0, 2.0)}),
    "mobilenet-v1": _classifier("MobileNetV1", "MobileNetV1", {"depth_multiplier": 0.25}),
    "mobilenet-v2": _classifier("MobileNetV2", "MobileNetV2", {"depth_multiplier": 0.35}),
    "mobilevit": _classifier("MobileViT", "MobileViT", {
        "hidden_sizes": [32, 48, 64], "neck_hidden_sizes": [8, 16, 24, 32, 48, 64, 96], "image_size": 256}),
    "swin": _classifier("Swin", "ViT", {**SWIN, "image_size": 128}, {
        "size": {"height": 128, "width": 128}, **IMAGENET}),
    "levit": _classifier("Levit", "Levit", {"hidden_sizes": [32, 48, 64], "depths": [1, 1, 1], "num_attention_heads": [
        2, 3, 4], "key_dim": [8, 8, 8]}, heads={"classifier.linear": (0.0, 2.0)}),
    "poolformer": _classifier("PoolFormer", "PoolFormer", {**STAGES, "depths": [1, 1, 1, 1]}),
    "dinov2-classes": _classifier("Dinov2", "Bit", {**TINY, "image_size": 56, "patch_size": 14}, {
        "size": {"shortest_edge": 64}, "crop_size": {"height": 56, "width": 56}, **IMAGENET}),
    "dinov2": Network("image-feature-extraction", "Dinov2", "Model", "Bit", {**TINY, "image_size": 56,
                      "patch_size": 14}, {"size": {"shortest_edge": 64}, "crop_size": {"height": 56, "width": 56},
                                          **IMAGENET}),
    "vit-features": Network("image-feature-extraction", "ViT", "Model", "ViT", VIT, SQUARE),
    "clip-vision": Network("image-feature-extraction", "CLIPVision", "ModelWithProjection", "CLIP", {
        **VIT, "projection_dim": 48}, {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}),
    "siglip-vision": Network("image-feature-extraction", "SiglipVision", "Model", "Siglip", VIT, SQUARE),
    "detr": _detector("Detr", "Detr", {**DETR, "use_timm_backbone": False, "use_pretrained_backbone": False,
                                       "backbone": None, "backbone_config": RESNET},
                      {"size": {"shortest_edge": 200, "longest_edge": 333}}),
    "detr-square": _detector("Detr", "Detr", {**DETR, "use_timm_backbone": False, "use_pretrained_backbone": False,
                                              "backbone": None, "backbone_config": RESNET},
                             {"size": {"height": 256, "width": 256}}),
    "yolos": _detector("Yolos", "Yolos", {**TINY, "image_size": [128, 192], "patch_size": 16,
                                          "num_detection_tokens": 20}, {
        "size": {"shortest_edge": 128, "longest_edge": 192}}, {
        "class_labels_classifier.layers.2": (0.0, 2.0), "bbox_predictor.layers.2": (0.0, 0.7)}),
    "rt-detr": _detector("RTDetr", "RTDetr", {
        "backbone_config": {"model_type": "rt_detr_resnet", **STAGES, "embedding_size": 16, "layer_type": "basic",
                            "out_features": ["stage2", "stage3", "stage4"]},
        "encoder_in_channels": [32, 48, 64], "encoder_hidden_dim": 32, "d_model": 32, "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64, "decoder_in_channels": [32, 32, 32], "encoder_attention_heads": 2, "num_queries": 50,
        "decoder_attention_heads": 2, "decoder_layers": 2}, {"size": {"height": 256, "width": 256}},
        {"model.decoder.class_embed.1": (-1.0, 1.0)}),
    "segformer": Network("semantic", "Segformer", "ForSemanticSegmentation", "Segformer", {
        "hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 2, 2],
        "decoder_hidden_size": 32}, {"size": {"height": 128, "width": 128}}, {
        "decode_head.classifier": (0.0, 2.0)}),
    "mobilevit-segments": Network("semantic", "MobileViT", "ForSemanticSegmentation", "MobileViT", {
        "hidden_sizes": [32, 48, 64], "neck_hidden_sizes": [8, 16, 24, 32, 48, 64, 96], "image_size": 256,
        "output_stride": 16}, {"size": {"shortest_edge": 288}, "crop_size": {"height": 256, "width": 256}}),
    "dpt-segments": Network("semantic", "DPT", "ForSemanticSegmentation", "DPT", {
        **TINY, "num_hidden_layers": 4, "image_size": 64, "patch_size": 16, "backbone_out_indices": [0, 1, 2, 3],
        "neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 8, "use_auxiliary_head": False}, SQUARE),
    "maskformer": Network("panoptic", "MaskFormer", "ForInstanceSegmentation", "MaskFormer", {
        "backbone_config": {"model_type": "swin", **SWIN, "image_size": 128, "out_features": [
            "stage1", "stage2", "stage3", "stage4"]}, "fpn_feature_size": 32, "mask_feature_size": 32,
        "decoder_config": {"model_type": "detr", **DETR}}, {"size": {"height": 128, "width": 128}}, {
        "class_predictor": (0.0, 3.0)}),
    "dpt": _depth("DPT", "DPT", {
        **TINY, "num_hidden_layers": 4, "image_size": 64, "patch_size": 16, "backbone_out_indices": [0, 1, 2, 3],
        "neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 8}, **SQUARE),
    "glpn": _depth("GLPN", "GLPN", {
        "hidden_sizes": [8, 16, 16, 16], "depths": [1, 1, 1, 1], "num_attention_heads": [1, 1, 1, 1],
        "decoder_hidden_size": 8}),
}
Written = Callable[[Network, Any, Any, Path], None]  # writes the model and its processor into a folder


def exported(name: str, write: Written, folder: Path) -> Ask:
    """One of the networks, as one of the exporters writes it."""
    network = NETWORKS[name]
    model, processor = network.made()
    write(network, model, processor, folder)
    return network.asked(model, processor)
