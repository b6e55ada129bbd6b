import type {
  TArray,
  TArrayOptions,
  TBoolean,
  TEnum,
  TInteger,
  TNumber,
  TNumberOptions,
  TObject,
  TObjectOptions,
  TOptional,
  TProperties,
  TRecord,
  TRequiredArray,
  TSchema,
  TSchemaOptions,
  TString,
  TStringOptions,
} from "typebox";

// Loading TypeBox costs 680 files, some 300 ms at every start of a program. Configuration needs little of it:
// these make the same schemas, typed by TypeBox, so that its `Static` and its checks work on them too.

/** What a record's keys may be: any text. */
type AnyKey = "^.*$";

/** Builds schemas of configurations as TypeBox's `Type` does; only what configurations use. */
export const Type = {
  String: (options: TStringOptions = {}): TString => ({ ...options, "~kind": "String", type: "string" }),

  Boolean: (options: TSchemaOptions = {}): TBoolean => ({ ...options, "~kind": "Boolean", type: "boolean" }),

  Integer: (options: TNumberOptions = {}): TInteger => ({ ...options, "~kind": "Integer", type: "integer" }),

  Number: (options: TNumberOptions = {}): TNumber => ({ ...options, "~kind": "Number", type: "number" }),

  Enum: <const Values extends string[]>(
    values: readonly [...Values],
    options: TSchemaOptions = {},
  ): TEnum<Values> => ({
    ...options,
    "~kind": "Enum",
    enum: [...values],
  }),

  Array: <Item extends TSchema>(items: Item, options: TArrayOptions = {}): TArray<Item> => ({
    ...options,
    "~kind": "Array",
    type: "array",
    items,
  }),

  /** Named by the user, unlike the keys of an object: a value is set as a whole. */
  Record: <Item extends TSchema>(
    keys: TString,
    item: Item,
    options: TObjectOptions = {},
  ): TRecord<AnyKey, Item> => {
    const named: TObjectOptions = { ...options, propertyNames: keys };
    return { ...named, "~kind": "Record", type: "object", patternProperties: { "^.*$": item } };
  },

  Optional: <Schema extends TSchema>(schema: Schema): TOptional<Schema> => ({ ...schema, "~optional": true }),

  Object: <Properties extends TProperties>(
    properties: Properties,
    options: TObjectOptions = {},
  ): TObject<Properties> => ({
    ...options,
    "~kind": "Object",
    type: "object",
    properties,
    required: requiredKeys(properties),
  }),
};

function requiredKeys<Properties extends TProperties>(properties: Properties): TRequiredArray<Properties> {
  const keys = Object.keys(properties).filter((key) => !("~optional" in (properties[key] ?? {})));
  // The type computes the same list from the same mark; TypeScript cannot follow the filter.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return keys as TRequiredArray<Properties>;
}
