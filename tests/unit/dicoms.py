"""Small DICOM series, as scanners of several makers write them; every file names a patient."""

import hashlib
import struct
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    EnhancedMRImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
)

#: What files say of a person, and words that must be in no file that is made of them.
PATIENT = {
    "PatientName": "Mustermann^Erika",
    "PatientID": "PID-7731",
    "OtherPatientIDs": "OTH-4410",
    "PatientBirthDate": "19640812",
    "PatientAddress": "Hauptstrasse 12",
    "PatientComments": "PCOMMENT",
    "AccessionNumber": "ACC-55021",
    "ReferringPhysicianName": "Refer^Doktor",
    "OperatorsName": "Opera^Tor",
    "StudyDate": "20250317",
    "AcquisitionDate": "20250317",
    "AcquisitionTime": "101213.500000",
    "ImageComments": "ICOMMENT of Mustermann",
    "StudyDescription": "Head of Mustermann",
    "PerformedProcedureStepDescription": "ACC-55021 for Refer",
}
SECRETS = (
    *("Mustermann", "Erika", "PID-7731", "OTH-4410", "19640812", "1964-08-12", "Hauptstrasse"),
    *("PCOMMENT", "ACC-55021", "Refer", "Doktor", "Opera^", "20250317", "2025-03-17", "ICOMMENT"),
)
PHILIPS = "Philips Medical Systems"


def uid(*key):
    digest = hashlib.sha256(repr(key).encode()).hexdigest()
    return f"1.2.826.0.1.3680043.8.498.{int(digest[:24], 16)}"


def header(description, number, instance, *, sop=MRImageStorage, shape=(16, 16), **tags):
    """A slice without voxels; `tags` replace what it says."""
    made = Dataset()
    study = tags.pop("study", "study")
    values = {
        **PATIENT,
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "SOPClassUID": sop,
        "SOPInstanceUID": uid(study, number, instance),
        "StudyInstanceUID": uid(study),
        "SeriesInstanceUID": uid(study, number),
        "Modality": "CT" if sop == CTImageStorage else "MR",
        "Manufacturer": "SIEMENS",
        "SeriesDescription": description,
        "ProtocolName": description,
        "SeriesNumber": number,
        "InstanceNumber": instance,
        "AcquisitionNumber": 1,
        "PatientPosition": "HFS",
        "SliceThickness": 4.0,
        "ImagePositionPatient": [0.0, 0.0, 0.0],
        "ImageOrientationPatient": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        "PixelSpacing": [3.0, 2.0],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "Rows": shape[0],
        "Columns": shape[1],
    }
    if sop != CTImageStorage:
        values |= {
            "ScanningSequence": "GR",
            "MRAcquisitionType": "2D",
            "RepetitionTime": 2000.0,
            "EchoTime": 20.0,
            "EchoNumbers": 1,
            "SpacingBetweenSlices": 4.0,
        }
    for name, value in (values | tags).items():
        setattr(made, name, value)
    return made


def save(made, voxels, path, *, preamble=True):
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    made.PixelRepresentation = int(voxels.dtype.kind == "i")
    made.PixelData = np.ascontiguousarray(voxels).tobytes()
    made["PixelData"].VR = "OW"
    if not preamble:
        made.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
        return
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.save_as(path, enforce_file_format=True)


def plane(z, t=0, shape=(16, 16), gain=1):
    """Voxels of a slice, in the order of the file."""
    y, x = np.indices(shape)
    return (gain * (x + 10 * y + 200 * z + 1000 * t + 1)).astype("u2")


def slices(
    out, description="T1w", number=1, *, times=1, first=1, gain=1, name="IM{:04d}.dcm", **tags
):
    """Four slices for each point in time."""
    preamble, change = tags.pop("preamble", True), tags.pop("change", lambda made, z, t: None)
    for t in range(times):
        for z in range(4):
            instance = first + 4 * t + z
            made = header(description, number, instance, **tags)
            made.ImagePositionPatient = [-15.0, -20.0, 4.0 * z]
            if times > 1:
                made.AcquisitionNumber = t + 1
                made.TemporalPositionIdentifier = t + 1
                made.AcquisitionTime = f"1012{13.5 + 2 * t:09.6f}"
            change(made, z, t)
            save(made, plane(z, t, gain=gain), out / name.format(instance), preamble=preamble)


def series(out):
    slices(out, "bold", 2, times=3)


def mosaic(out, size=8, count=4):
    """Slices side by side in one image, of which a private header says how many there are."""
    for t in range(2):
        made = header(
            "mosaic",
            3,
            t + 1,
            shape=(2 * size, 2 * size),
            ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
            ImagePositionPatient=[-10.0 - size, -12.0 - 1.5 * size, 0.0],
            AcquisitionNumber=t + 1,
            AcquisitionTime=f"1012{13.5 + 2 * t:09.6f}",
            AcquisitionMatrix=[size, 0, 0, size],
        )
        block = made.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x08, "CS", "IMAGE NUM 4")
        fields = {
            "NumberOfImagesInMosaic": ("US", [str(count)]),
            "SliceNormalVector": ("FD", ["0.0", "0.0", "1.0"]),
            "BandwidthPerPixelPhaseEncode": ("FD", ["24.0"]),
            "MosaicRefAcqTimes": ("FD", [f"{1000 * z / count}" for z in range(count)]),
            "ProtocolSliceNumber": ("IS", ["0"]),
        }
        block.add_new(0x10, "OB", csa(fields))
        tiles = [plane(z, t, (size, size)) for z in range(count)]
        save(made, np.block([tiles[:2], tiles[2:]]), out / f"MR.{t + 1:04d}.IMA")


def csa(fields):
    """A private header of Siemens, in its second version."""
    made = b"SV10\4\3\2\1" + struct.pack("<II", len(fields), 77)
    for name, (kind, values) in fields.items():
        made += name.encode().ljust(64, b"\0") + struct.pack("<i", len(values))
        made += kind.encode().ljust(4, b"\0") + struct.pack("<iii", 6, 6, 77)
        for number in range(6):
            text = values[number].encode() + b"\0" if number < len(values) else b""
            made += struct.pack("<4i", len(text), len(text), 77, len(text))
            made += text + b"\0" * (-len(text) % 4)
    return made


def enhanced(out, manufacturer=PHILIPS):
    """One file of three slices at two points in time."""
    made = header(
        "enhanced", 4, 1, sop=EnhancedMRImageStorage, shape=(12, 16), Manufacturer=manufacturer
    )
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "EchoTime"):
        delattr(made, name)
    made.NumberOfFrames = 6
    shared, frames = Dataset(), []
    shared.PixelMeasuresSequence = item(
        PixelSpacing=[3.0, 2.0], SliceThickness=4.0, SpacingBetweenSlices=4.0
    )
    shared.PlaneOrientationSequence = item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.MRTimingAndRelatedParametersSequence = item(RepetitionTime=2000.0)
    made.DimensionIndexSequence = Sequence(
        item(DimensionIndexPointer=tag, FunctionalGroupPointer=0x00209111)[0]
        for tag in (0x00209056, 0x00209057, 0x00209128)
    )
    for t in range(2):
        for z in range(3):
            frame = Dataset()
            frame.FrameContentSequence = item(
                StackID="1",
                InStackPositionNumber=z + 1,
                TemporalPositionIndex=t + 1,
                DimensionIndexValues=[1, z + 1, t + 1],
            )
            frame.PlanePositionSequence = item(ImagePositionPatient=[-15.0, -20.0, 4.0 * z])
            frame.PixelValueTransformationSequence = item(
                RescaleSlope=1, RescaleIntercept=0, RescaleType="US"
            )
            frame.MREchoSequence = item(EffectiveEchoTime=20.0)
            frames.append(frame)
    made.SharedFunctionalGroupsSequence = Sequence([shared])
    made.PerFrameFunctionalGroupsSequence = Sequence(frames)
    undefined_lengths(made)
    voxels = np.stack([plane(z, t, (12, 16)) for t in range(2) for z in range(3)])
    save(made, voxels, out / "enhanced.dcm")


def item(**tags):
    made = Dataset()
    for name, value in tags.items():
        setattr(made, name, value)
    return Sequence([made])


def undefined_lengths(made):
    """Delimit sequences as scanners do."""
    for element in made:
        if element.VR == "SQ":
            element.is_undefined_length = True
            for inner in element.value:
                inner.is_undefined_length_sequence_item = True
                undefined_lengths(inner)


def echoes(out):
    for echo in (1, 2):
        slices(
            out, "echoes", 5, EchoNumbers=echo, EchoTime=4.9 * echo, first=4 * echo - 3, gain=echo
        )


def magnitude_and_phase(out):
    slices(out, "gre", 6)
    slices(out, "gre", 6, first=5, gain=2, ImageType=["ORIGINAL", "PRIMARY", "P", "ND"])


def scaled(out):
    """Slices of Philips with slopes of their own."""

    def change(made, z, t):
        made.RescaleSlope, made.RescaleIntercept = 2.0 * (z + 1), -10.0 * (z + 1)
        made.RescaleType = "normalized"
        block = made.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
        block.add_new(0x0D, "FL", 0.0)
        block.add_new(0x0E, "FL", 0.05 * (z + 1))

    kind = ["ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"]
    slices(out, "scaled", 9, Manufacturer=PHILIPS, ImageType=kind, change=change)


def tilted(out, degrees=20.0, positions=(0, 4, 8, 12, 16)):
    """CT with a tilted gantry."""
    angle = np.deg2rad(degrees)
    for number, z in enumerate(positions):
        made = header(
            "head",
            10,
            number + 1,
            sop=CTImageStorage,
            ImagePositionPatient=[-15.0, -20.0, float(z)],
            ImageOrientationPatient=[1, 0, 0, 0, round(np.cos(angle), 6), round(np.sin(angle), 6)],
            GantryDetectorTilt=degrees,
            RescaleSlope=1,
            RescaleIntercept=-1024,
        )
        save(made, plane(number).astype("i2"), out / f"CT{number + 1:04d}.dcm")


def uneven(out):
    tilted(out, 0.0, (0, 4, 8, 16, 24))


def diffusion(out):
    """Three points in time with b values and directions."""

    def change(made, z, t):
        made.ScanningSequence = "EP"
        made.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(
            0x0C, "IS", str((0, 1000, 1000)[t])
        )
        if t:
            made.private_block(0x0019, "SIEMENS MR HEADER").add_new(
                0x0E, "FD", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]][t - 1]
            )

    slices(out, "dwi", 14, times=3, change=change)


def bare(out):
    """Files without preamble and ending."""
    slices(out, "bare", 15, preamble=False, name="{:08d}")


def named(out):
    """The patient is named in the description, too."""
    slices(out / "sub", "T1 Mustermann PID-7731", 17)


def two_patients(out):
    slices(out / "a")
    slices(out / "b", study="other", PatientName="Zweitname^Otto", gain=3)


def localizer(out):
    """Three planes at right angles."""
    for plane_number, directions in enumerate(
        ([1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1])
    ):
        for z in range(3):
            position = [-15.0, -20.0, 10.0]
            position[2 - plane_number] = 5.0 * z
            made = header(
                "localizer",
                12,
                3 * plane_number + z + 1,
                ImageOrientationPatient=directions,
                ImagePositionPatient=position,
                SequenceName="*fl2d1",
            )
            save(made, plane(z), out / f"IM{3 * plane_number + z:04d}")


ALL = (
    *(slices, series, mosaic, enhanced, echoes, magnitude_and_phase, scaled, tilted, uneven),
    *(diffusion, bare, named, two_patients, localizer),
)
