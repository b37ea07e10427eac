"""Stage 1: YOLOv3 on Darknet-53 finds tumour nuclei."""
