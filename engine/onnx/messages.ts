// The part of the ONNX protobuf schema that we write, one row per message. Field numbers are those of onnx.proto3.

import protobuf from "protobufjs";

type Field = readonly [name: string, number: number, type: string, repeated?: "repeated"];

const schema: Readonly<Record<string, readonly Field[]>> = {
  ModelProto: [
    ["irVersion", 1, "int64"],
    ["producerName", 2, "string"],
    ["graph", 7, "GraphProto"],
    ["opsetImport", 8, "OperatorSetIdProto", "repeated"],
  ],
  OperatorSetIdProto: [
    ["domain", 1, "string"],
    ["version", 2, "int64"],
  ],
  GraphProto: [
    ["node", 1, "NodeProto", "repeated"],
    ["name", 2, "string"],
    ["initializer", 5, "TensorProto", "repeated"],
    ["input", 11, "ValueInfoProto", "repeated"],
    ["output", 12, "ValueInfoProto", "repeated"],
  ],
  NodeProto: [
    ["input", 1, "string", "repeated"],
    ["output", 2, "string", "repeated"],
    ["name", 3, "string"],
    ["opType", 4, "string"],
    ["attribute", 5, "AttributeProto", "repeated"],
    ["domain", 7, "string"],
  ],
  AttributeProto: [
    ["name", 1, "string"],
    ["f", 2, "float"],
    ["i", 3, "int64"],
    ["s", 4, "bytes"],
    ["t", 5, "TensorProto"],
    ["g", 6, "GraphProto"],
    ["floats", 7, "float", "repeated"],
    ["ints", 8, "int64", "repeated"],
    ["type", 20, "int32"],
  ],
  ValueInfoProto: [
    ["name", 1, "string"],
    ["type", 2, "TypeProto"],
  ],
  TypeProto: [["tensorType", 1, "TypeProtoTensor"]],
  TypeProtoTensor: [
    ["elemType", 1, "int32"],
    ["shape", 2, "TensorShapeProto"],
  ],
  TensorShapeProto: [["dim", 1, "Dimension", "repeated"]],
  Dimension: [
    ["dimValue", 1, "int64"],
    ["dimParam", 2, "string"],
  ],
  TensorProto: [
    ["dims", 1, "int64", "repeated"],
    ["dataType", 2, "int32"],
    ["name", 8, "string"],
    ["rawData", 9, "bytes"],
    ["externalData", 13, "StringStringEntryProto", "repeated"],
    ["dataLocation", 14, "int32"],
  ],
  StringStringEntryProto: [
    ["key", 1, "string"],
    ["value", 2, "string"],
  ],
};

/** `AttributeProto.AttributeType`, by the field that holds the value. */
export const attributeTypes = { f: 1, i: 2, s: 3, t: 4, g: 5, floats: 6, ints: 7 } as const;

/** `TensorProto.DataLocation` */
export const dataLocation = { inline: 0, external: 1 } as const;

const root = new protobuf.Root();
for (const [message, fields] of Object.entries(schema)) {
  const type = new protobuf.Type(message);
  for (const [name, number, fieldType, rule] of fields) type.add(new protobuf.Field(name, number, fieldType, rule));
  root.add(type);
}

const modelProto = root.lookupType("ModelProto");

export function encodeModel(model: Record<string, unknown>): Uint8Array {
  return modelProto.encode(model).finish();
}

/** For tests and tools that look at what was written; int64 fields come back as numbers. */
export function decodeModel(bytes: Uint8Array): Record<string, unknown> {
  return modelProto.toObject(modelProto.decode(bytes), { longs: Number });
}
