/** Foreground of COCO's compressed run lengths, one byte per pixel, row after row. */
function decodeMask(counts, height, width) {
  const mask = new Uint8Array(height * width);
  const runs = [];
  let position = 0;
  for (let at = 0; at < counts.length; ) {
    let run = 0;
    let scale = 1;
    let digit;
    do {
      digit = counts.charCodeAt(at++) - 48;
      run += (digit & 31) * scale;
      scale *= 32;
    } while (digit & 32 && at < counts.length);
    if (digit & 16) run -= scale;
    if (runs.length > 2) run += runs[runs.length - 2];
    runs.push(run);
    const end = Math.min(position + run, mask.length);
    if (runs.length % 2 === 0) {
      // Runs go down the columns.
      for (let pixel = position; pixel < end; pixel++) {
        mask[(pixel % height) * width + Math.floor(pixel / height)] = 1;
      }
    }
    position = end;
  }
  return mask;
}

// Okabe and Ito's colours, told apart by colour-blind readers too.
const COLOURS = {
  truth: [86, 180, 233],
  prediction: [230, 159, 0],
  agreement: [86, 180, 233],
  missed: [240, 228, 66],
  false: [213, 94, 0],
  both: [86, 180, 233],
  first: [230, 159, 0],
  second: [204, 121, 167],
  ignored: [153, 153, 153],
};

/** Draw the kind of each pixel that `kindOf(index)` names; null leaves it clear. */
function drawKinds(canvas, height, width, kindOf) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const pixels = context.createImageData(width, height);
  for (let index = 0; index < height * width; index++) {
    const kind = kindOf(index);
    if (kind === null) continue;
    pixels.data.set(COLOURS[kind], 4 * index);
    pixels.data[4 * index + 3] = 255;
  }
  context.putImageData(pixels, 0, 0);
}

/** What each way of showing draws of a case's masks, and what its legend says. */
const WAYS = {
  image: { legend: {}, kindOf: () => () => null },
  truth: { legend: { truth: worded("truth") }, kindOf: ({ truth }) => (index) => (truth[index] ? "truth" : null) },
  prediction: {
    legend: { prediction: worded("prediction") },
    kindOf: ({ prediction }) => (index) => (prediction[index] ? "prediction" : null),
  },
  agreement: {
    legend: {
      agreement: worded("agreement: vessel in both"),
      missed: worded("missed: in the truth alone"),
      false: worded("false: in the prediction alone"),
      ignored: worded("not counted"),
    },
    kindOf: ({ truth, prediction, ignored }) => (index) => {
      if (ignored && ignored[index]) return "ignored";
      if (truth[index]) return prediction[index] ? "agreement" : "missed";
      return prediction[index] ? "false" : null;
    },
  },
  difference: {
    legend: {
      both: worded("in both predictions"),
      first: worded("in the first alone"),
      second: worded("in the second alone"),
    },
    kindOf: ({ prediction, other }) => (index) => {
      if (prediction[index]) return other[index] ? "both" : "first";
      return other[index] ? "second" : null;
    },
  },
};
