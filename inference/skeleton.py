"""The 17 keypoints of a person as COCO counts them, and which of them a line joins in a drawing; the 5 of a face."""

COCO_KEYPOINTS = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle")
COCO_LIMBS = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8), (7, 9), (8, 10),
    (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6))
# As WIDER FACE counts them: the eye that is the person's right one is at the left of a photograph.
FACE_KEYPOINTS = ("right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner")
